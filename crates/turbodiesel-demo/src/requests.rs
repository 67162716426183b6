//! What the clients of the service ask for, and how often.

use crate::{
    data::{self, Sizes},
    zipf::Zipf,
};

/// A request to the service, made by one of its users.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) user: i32,
    pub(crate) task: Task,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Task {
    Read(Read),
    Write(Write),
}

/// The reads of the service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Read {
    /// A product with its supplier and its stock in each warehouse.
    Product { id: i32 },
    /// An order with its customer and its lines.
    Order { id: i32 },
    /// The last orders of a customer.
    OrdersOfCustomer { id: i32 },
    /// A page of the products of a category.
    Catalogue { category: &'static str, page: i64 },
    /// Products to be reordered for a warehouse.
    LowStock { warehouse: i32 },
    /// What a station is to produce next, and who does it.
    StationQueue { station: i32 },
    /// Orders of the last thirty days by status.
    OrdersByStatus,
    /// Revenue of the last thirty days by region.
    RevenueByRegion,
    /// The products of a category that sold best.
    BestSellers { category: &'static str },
    /// Pieces in each warehouse.
    StockByWarehouse,
    /// Suppliers and their products by country.
    SuppliersByCountry,
}

/// The writes of the service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Write {
    /// An order with its lines, taken out of a warehouse.
    PlaceOrder { customer: i32, warehouse: i32, placed_at: i64, items: Vec<Item> },
    /// Somebody counted the pieces of a product in a warehouse.
    CountStock { product: i32, warehouse: i32, on_hand: i32 },
    /// The next work order of a station is done: its pieces go to a warehouse, and a new one is
    /// planned.
    FinishWorkOrder { station: i32, warehouse: i32 },
    /// An order leaves the house.
    ShipOrder { order: i32 },
    /// A product gets another name and price.
    ReviseProduct { product: i32, name: String, price_cents: i32 },
    /// A user gets another name.
    RenameUser { user: i32, name: String },
}

/// A line of an order to be placed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) product: i32,
    pub(crate) quantity: i32,
}

/// The groups in which requests are reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Group {
    Lookup,
    List,
    Dashboard,
    Write,
}

impl Group {
    pub(crate) const ALL: [Self; 4] = [Self::Lookup, Self::List, Self::Dashboard, Self::Write];
}

impl Task {
    pub(crate) fn group(&self) -> Group {
        match self {
            Self::Read(read) => match read {
                Read::Product { .. } | Read::Order { .. } => Group::Lookup,
                Read::OrdersOfCustomer { .. }
                | Read::Catalogue { .. }
                | Read::LowStock { .. }
                | Read::StationQueue { .. } => Group::List,
                Read::OrdersByStatus
                | Read::RevenueByRegion
                | Read::BestSellers { .. }
                | Read::StockByWarehouse
                | Read::SuppliersByCountry => Group::Dashboard,
            },
            Self::Write(_) => Group::Write,
        }
    }
}

/// The kinds of requests with their shares, which add up to [`SHARES`]. Orders, stock and production
/// change all the time, products and users seldom.
const MIX: &[(Kind, u32)] = &[
    (Kind::Product, 3200),
    (Kind::Order, 1500),
    (Kind::OrdersOfCustomer, 1000),
    (Kind::Catalogue, 1400),
    (Kind::LowStock, 400),
    (Kind::StationQueue, 600),
    (Kind::OrdersByStatus, 250),
    (Kind::RevenueByRegion, 200),
    (Kind::BestSellers, 100),
    (Kind::StockByWarehouse, 150),
    (Kind::SuppliersByCountry, 200),
    (Kind::PlaceOrder, 400),
    (Kind::CountStock, 330),
    (Kind::FinishWorkOrder, 160),
    (Kind::ShipOrder, 104),
    (Kind::ReviseProduct, 5),
    (Kind::RenameUser, 1),
];
const SHARES: u32 = 10_000;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Product,
    Order,
    OrdersOfCustomer,
    Catalogue,
    LowStock,
    StationQueue,
    OrdersByStatus,
    RevenueByRegion,
    BestSellers,
    StockByWarehouse,
    SuppliersByCountry,
    PlaceOrder,
    CountStock,
    FinishWorkOrder,
    ShipOrder,
    ReviseProduct,
    RenameUser,
}

/// The endless requests of one client: the same for the same seed and client, whoever serves them.
#[derive(Debug)]
pub(crate) struct Requests {
    random: fastrand::Rng,
    sizes: Sizes,
    users: Zipf,
    products: Zipf,
    customers: Zipf,
    orders: Zipf,
    categories: Zipf,
    placed_at: i64,
}

impl Requests {
    pub(crate) fn new(seed: u64, client: u32, sizes: Sizes) -> Self {
        let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(client));
        Self {
            random: fastrand::Rng::with_seed(seed),
            sizes,
            users: Zipf::new(sizes.users, data::SKEW),
            products: Zipf::new(sizes.products, data::SKEW),
            customers: Zipf::new(sizes.customers, data::SKEW),
            orders: Zipf::new(sizes.orders, data::SKEW),
            categories: Zipf::new(data::CATEGORIES.len(), data::SKEW),
            placed_at: data::NOW,
        }
    }

    /// Products, customers and users with small numbers are popular.
    fn product(&mut self) -> i32 {
        self.products.id(&mut self.random)
    }

    /// The latest orders are looked at most. Those placed meanwhile are not among them, so that
    /// both contenders are asked the same.
    fn order(&mut self) -> i32 {
        data::id(self.sizes.orders) + 1 - self.orders.id(&mut self.random)
    }

    fn category(&mut self) -> &'static str {
        data::CATEGORIES[self.categories.sample(&mut self.random)]
    }

    fn customer(&mut self) -> i32 {
        self.customers.id(&mut self.random)
    }

    fn station(&mut self) -> i32 {
        self.random.i32(1..=data::STATIONS)
    }

    fn warehouse(&mut self) -> i32 {
        self.random.i32(1..=data::WAREHOUSES)
    }

    fn items(&mut self) -> Vec<Item> {
        let mut items: Vec<Item> = (0..self.random.usize(1..=4))
            .map(|_| Item { product: self.product(), quantity: self.random.i32(1..=5) })
            .collect();
        // In the order of their keys: writers that lock rows in one order cannot deadlock.
        items.sort_by_key(|item| item.product);
        items.dedup_by_key(|item| item.product);
        items
    }

    fn task(&mut self, kind: Kind) -> Task {
        match kind {
            Kind::Product => Task::Read(Read::Product { id: self.product() }),
            Kind::Order => Task::Read(Read::Order { id: self.order() }),
            Kind::OrdersOfCustomer => Task::Read(Read::OrdersOfCustomer { id: self.customer() }),
            Kind::Catalogue => {
                // Most people stay on the first page.
                let page = i64::from(self.random.u8(..).trailing_zeros().min(3));
                Task::Read(Read::Catalogue { category: self.category(), page })
            }
            Kind::LowStock => Task::Read(Read::LowStock { warehouse: self.warehouse() }),
            Kind::StationQueue => Task::Read(Read::StationQueue { station: self.station() }),
            Kind::OrdersByStatus => Task::Read(Read::OrdersByStatus),
            Kind::RevenueByRegion => Task::Read(Read::RevenueByRegion),
            Kind::BestSellers => Task::Read(Read::BestSellers { category: self.category() }),
            Kind::StockByWarehouse => Task::Read(Read::StockByWarehouse),
            Kind::SuppliersByCountry => Task::Read(Read::SuppliersByCountry),
            Kind::PlaceOrder => {
                self.placed_at += 1;
                Task::Write(Write::PlaceOrder {
                    customer: self.customer(),
                    warehouse: self.warehouse(),
                    placed_at: self.placed_at,
                    items: self.items(),
                })
            }
            Kind::CountStock => Task::Write(Write::CountStock {
                product: self.product(),
                warehouse: self.warehouse(),
                on_hand: self.random.i32(0..400),
            }),
            Kind::FinishWorkOrder => Task::Write(Write::FinishWorkOrder {
                station: self.station(),
                warehouse: self.warehouse(),
            }),
            Kind::ShipOrder => Task::Write(Write::ShipOrder { order: self.order() }),
            Kind::ReviseProduct => {
                let product = self.product();
                Task::Write(Write::ReviseProduct {
                    product,
                    name: data::product_name(product, &mut self.random),
                    price_cents: data::price_cents(&mut self.random),
                })
            }
            Kind::RenameUser => Task::Write(Write::RenameUser {
                user: self.users.id(&mut self.random),
                name: data::person(&mut self.random),
            }),
        }
    }
}

impl Iterator for Requests {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let user = self.users.id(&mut self.random);
        let mut choice = self.random.u32(0..SHARES);
        let (kind, _) = MIX
            .iter()
            .find(|(_, share)| {
                let chosen = choice < *share;
                choice = choice.saturating_sub(*share);
                chosen
            })
            // OK because the shares add up, which a test checks.
            .expect("the shares add up");
        let task = self.task(*kind);
        Some(Request { user, task })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(seed: u64, client: u32) -> Requests {
        Requests::new(seed, client, Sizes::of(10_000))
    }

    #[test]
    fn shares_add_up() {
        assert_eq!(MIX.iter().map(|(_, share)| share).sum::<u32>(), SHARES);
    }

    #[test]
    fn a_stream_is_determined_by_seed_and_client() {
        let take = |seed, client| requests(seed, client).take(500).collect::<Vec<_>>();
        assert_eq!(take(1, 0), take(1, 0));
        assert_ne!(take(1, 0), take(1, 1));
        assert_ne!(take(1, 0), take(2, 0));
    }

    #[test]
    fn one_request_in_ten_writes() {
        let writes = requests(1, 0)
            .take(20_000)
            .filter(|request| request.task.group() == Group::Write)
            .count();
        assert!((1_800..2_200).contains(&writes), "{writes}");
    }

    #[test]
    fn orders_asked_for_exist() {
        let sizes = Sizes::of(10_000);
        for request in requests(3, 0).take(20_000) {
            if let Task::Read(Read::Order { id }) = request.task {
                assert!((1..=data::id(sizes.orders)).contains(&id), "{id}");
            }
        }
    }
}
