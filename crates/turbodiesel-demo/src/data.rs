//! The data of the factory: made up from a seed, and skewed as real data is.

use crate::{
    model::{
        Customer, Order, OrderLine, Permission, Product, Role, Stock, Supplier, User, UserRole,
        WorkOrder,
    },
    zipf::Zipf,
};

/// How unevenly keys are chosen: about a fifth of the products make four fifths of the sales.
pub(crate) const SKEW: f64 = 0.9;
/// The moment at which the data ends.
pub(crate) const NOW: i64 = 1_750_000_000;
pub(crate) const DAY: i64 = 24 * 60 * 60;
pub(crate) const WAREHOUSES: i32 = 4;
pub(crate) const STATIONS: i32 = 24;

pub(crate) const CATEGORIES: [&str; 12] = [
    "bearings", "bolts", "brackets", "cables", "castings", "drives", "filters", "gears",
    "housings", "pumps", "sensors", "valves",
];
const REGIONS: [&str; 6] = ["north", "south", "east", "west", "centre", "abroad"];
const COUNTRIES: [&str; 8] = ["AT", "CZ", "DE", "DK", "FR", "IT", "PL", "SE"];
const ROLES: [(&str, &[&str]); 6] = [
    ("viewer", &["catalogue.read"]),
    ("sales", &["catalogue.read", "orders.read", "orders.write"]),
    ("storekeeper", &["catalogue.read", "inventory.read", "inventory.write"]),
    ("planner", &["catalogue.read", "inventory.read", "work.read", "work.write"]),
    ("operator", &["work.read", "work.finish"]),
    ("manager", &["catalogue.write", "orders.read", "dashboards.read", "users.write"]),
];
const FIRST_NAMES: [&str; 12] = [
    "Ada", "Bruno", "Clara", "Dario", "Edith", "Felix", "Greta", "Hugo", "Irma", "Jonas", "Karin",
    "Leo",
];
const LAST_NAMES: [&str; 12] = [
    "Albrecht", "Berger", "Conti", "Dvorak", "Eklund", "Fischer", "Garnier", "Holm", "Ivarsson",
    "Jansen", "Kowalski", "Lindner",
];
const FINISHES: [&str; 5] = ["steel", "brass", "aluminium", "bronze", "polymer"];

/// How many rows each table has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) users: usize,
    pub(crate) suppliers: usize,
    pub(crate) customers: usize,
    pub(crate) products: usize,
    pub(crate) orders: usize,
    pub(crate) work_orders: usize,
}

impl Sizes {
    /// Sizes of which the tables together have about `rows` rows.
    pub(crate) fn of(rows: usize) -> Self {
        Self {
            users: (rows / 400).max(20),
            suppliers: (rows / 1000).max(10),
            customers: (rows / 25).max(20),
            // Each with its stock in four warehouses.
            products: (rows / 40).max(50),
            // Each with three lines on average.
            orders: (rows / 5).max(50),
            work_orders: (rows / 30).max(100),
        }
    }
}

/// All rows, by table.
#[derive(Debug, Default)]
pub(crate) struct Data {
    pub(crate) users: Vec<User>,
    pub(crate) roles: Vec<Role>,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) user_roles: Vec<UserRole>,
    pub(crate) suppliers: Vec<Supplier>,
    pub(crate) customers: Vec<Customer>,
    pub(crate) products: Vec<Product>,
    pub(crate) inventory: Vec<Stock>,
    pub(crate) orders: Vec<Order>,
    pub(crate) order_lines: Vec<OrderLine>,
    pub(crate) work_orders: Vec<WorkOrder>,
}

impl Data {
    /// Makes up the rows of a seed.
    pub(crate) fn new(seed: u64, sizes: Sizes) -> Self {
        let random = &mut fastrand::Rng::with_seed(seed);
        let mut data = Self::default();
        data.make_people(random, sizes);
        data.make_products(random, sizes);
        data.make_orders(random, sizes);
        data.make_work_orders(random, sizes);
        data
    }

    /// The number of rows in all tables.
    pub(crate) fn rows(&self) -> usize {
        let Self {
            users,
            roles,
            permissions,
            user_roles,
            suppliers,
            customers,
            products,
            inventory,
            orders,
            order_lines,
            work_orders,
        } = self;
        users.len()
            + roles.len()
            + permissions.len()
            + user_roles.len()
            + suppliers.len()
            + customers.len()
            + products.len()
            + inventory.len()
            + orders.len()
            + order_lines.len()
            + work_orders.len()
    }

    fn make_people(&mut self, random: &mut fastrand::Rng, sizes: Sizes) {
        for (role, (name, permissions)) in (1..).zip(ROLES) {
            self.roles.push(Role { id: role, name: name.to_owned() });
            self.permissions.extend(
                permissions
                    .iter()
                    .map(|name| Permission { role_id: role, name: (*name).to_owned() }),
            );
        }
        for user in 1..=id(sizes.users) {
            self.users.push(User { id: user, name: person(random), active: random.u8(..) > 10 });
            let first = random.usize(0..ROLES.len());
            let roles = [Some(first), random.bool().then(|| (first + 1) % ROLES.len())];
            self.user_roles.extend(
                roles
                    .into_iter()
                    .flatten()
                    .map(|role| UserRole { user_id: user, role_id: id(role + 1) }),
            );
        }
        for supplier in 1..=id(sizes.suppliers) {
            self.suppliers.push(Supplier {
                id: supplier,
                name: format!("{} & Co. {supplier}", choose(random, &LAST_NAMES)),
                country: choose(random, &COUNTRIES).to_owned(),
            });
        }
        for customer in 1..=id(sizes.customers) {
            self.customers.push(Customer {
                id: customer,
                name: format!("{} Works {customer}", choose(random, &LAST_NAMES)),
                region: choose(random, &REGIONS).to_owned(),
            });
        }
    }

    fn make_products(&mut self, random: &mut fastrand::Rng, sizes: Sizes) {
        let suppliers = Zipf::new(sizes.suppliers, SKEW);
        let categories = Zipf::new(CATEGORIES.len(), SKEW);
        for product in 1..=id(sizes.products) {
            self.products.push(Product {
                id: product,
                name: product_name(product, random),
                category: CATEGORIES[categories.sample(random)].to_owned(),
                supplier_id: suppliers.id(random),
                price_cents: price_cents(random),
                reorder_level: random.i32(20..60),
            });
            self.inventory.extend((1..=WAREHOUSES).map(|warehouse| Stock {
                product_id: product,
                warehouse,
                on_hand: random.i32(0..400),
            }));
        }
    }

    fn make_orders(&mut self, random: &mut fastrand::Rng, sizes: Sizes) {
        let customers = Zipf::new(sizes.customers, SKEW);
        let products = Zipf::new(sizes.products, SKEW);
        let number = i64::from(id(sizes.orders));
        for order in 1..=id(sizes.orders) {
            let lines = 1..=random.i32(1..=4) + random.i32(0..=1);
            let mut total_cents = 0;
            for line in lines {
                let product = &self.products[products.sample(random)];
                let quantity = random.i32(1..=5);
                let amount_cents = quantity * product.price_cents;
                total_cents += amount_cents;
                let product_id = product.id;
                self.order_lines.push(OrderLine {
                    order_id: order,
                    line,
                    product_id,
                    quantity,
                    amount_cents,
                });
            }
            let age = 365 * DAY * (number - i64::from(order)) / number;
            let status = match age {
                age if age > 14 * DAY => "shipped",
                _ if random.u8(..) < 30 => "backordered",
                _ => "open",
            };
            self.orders.push(Order {
                id: order,
                customer_id: customers.id(random),
                status: status.to_owned(),
                placed_at: NOW - age,
                total_cents,
            });
        }
    }

    fn make_work_orders(&mut self, random: &mut fastrand::Rng, sizes: Sizes) {
        let products = Zipf::new(sizes.products, SKEW);
        let users = id(sizes.users);
        for work_order in 1..=id(sizes.work_orders) {
            let open = random.u8(..) < 100;
            self.work_orders.push(WorkOrder {
                id: work_order,
                product_id: products.id(random),
                station: random.i32(1..=STATIONS),
                assignee: (random.u8(..) < 200).then(|| random.i32(1..=users)),
                status: if open { "open" } else { "finished" }.to_owned(),
                quantity: random.i32(10..100),
                due_at: NOW + random.i64(-30 * DAY..30 * DAY) + if open { 30 * DAY } else { 0 },
            });
        }
    }
}

/// A number of rows as a key.
pub(crate) fn id(number: usize) -> i32 {
    // OK because the options limit the number of rows to far less.
    i32::try_from(number).expect("a number of rows")
}

pub(crate) fn product_name(product: i32, random: &mut fastrand::Rng) -> String {
    format!("{} part {product}-{}", choose(random, &FINISHES), random.u16(100..1000))
}

pub(crate) fn price_cents(random: &mut fastrand::Rng) -> i32 {
    random.i32(150..90_000)
}

pub(crate) fn person(random: &mut fastrand::Rng) -> String {
    format!("{} {}", choose(random, &FIRST_NAMES), choose(random, &LAST_NAMES))
}

fn choose<'a>(random: &mut fastrand::Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(0..from.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_rows_as_asked_for() {
        for wanted in [10_000, 100_000, 250_000] {
            let rows = Data::new(1, Sizes::of(wanted)).rows();
            assert!(rows.abs_diff(wanted) < wanted / 20, "{rows} for {wanted}");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_data() {
        let text = |seed| format!("{:?}", Data::new(seed, Sizes::of(1000)));
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }
}
