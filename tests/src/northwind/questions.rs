//! What the application reads: lists, pages, details, reports.
//!
//! Every question is asked plainly and through turbodiesel, and must have one answer.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use diesel::{
    dsl::{count, count_star, exists, max, not, sum},
    prelude::*,
    query_dsl::positional_order_dsl::PositionalOrderDsl,
    sql_types::{BigInt, Integer, Nullable, Numeric, SmallInt, Text},
};
use diesel_async::RunQueryDsl;
use turbodiesel::{Outcome, Tier};

use super::{
    Shop,
    schema::{
        categories, customers, employee_territories, employees, order_details, orders, products,
        region, shippers, suppliers, territories, us_states,
    },
};

/// How a question was answered.
pub(super) struct Answered {
    /// The tables that it reads.
    pub(super) tables: &'static [&'static str],
    /// The answer, printed.
    pub(super) answer: String,
    /// How turbodiesel found it.
    pub(super) outcome: Outcome,
}

pub(super) type Answers = BTreeMap<&'static str, Answered>;

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = products, check_for_backend(diesel::pg::Pg))]
#[expect(dead_code, reason = "printed")]
struct Product {
    product_id: i16,
    product_name: String,
    unit_price: Option<f32>,
    units_in_stock: Option<i16>,
    discontinued: i32,
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = customers, check_for_backend(diesel::pg::Pg))]
#[expect(dead_code, reason = "printed")]
struct Customer {
    customer_id: String,
    company_name: String,
    contact_name: Option<String>,
    region: Option<String>,
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = orders, check_for_backend(diesel::pg::Pg))]
#[expect(dead_code, reason = "printed")]
struct Order {
    order_id: i16,
    order_date: Option<NaiveDate>,
    shipped_date: Option<NaiveDate>,
    freight: Option<f32>,
}

#[derive(Debug, QueryableByName)]
#[expect(dead_code, reason = "printed")]
struct Revenue {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Numeric>)]
    revenue: Option<bigdecimal::BigDecimal>,
    #[diesel(sql_type = BigInt)]
    rank: i64,
}

#[derive(Debug, QueryableByName)]
#[expect(dead_code, reason = "printed")]
struct Report {
    #[diesel(sql_type = SmallInt)]
    employee_id: i16,
    #[diesel(sql_type = Integer)]
    depth: i32,
    #[diesel(sql_type = Text)]
    path: String,
}

#[derive(Debug, QueryableByName)]
#[expect(dead_code, reason = "printed")]
struct PerYear {
    #[diesel(sql_type = Integer)]
    year: i32,
    #[diesel(sql_type = BigInt)]
    orders: i64,
}

const REVENUE: &str = "
    SELECT c.category_name AS name, r.revenue, rank() OVER (ORDER BY r.revenue DESC) AS rank
    FROM categories c LEFT JOIN (
        SELECT p.category_id,
               round(sum(d.unit_price::numeric * d.quantity * (1 - d.discount::numeric)), 2)
                   AS revenue
        FROM order_details d JOIN products p USING (product_id) GROUP BY p.category_id
    ) r USING (category_id)
    ORDER BY c.category_id";

const REPORTS: &str = "
    WITH RECURSIVE chain AS (
        SELECT employee_id, 0 AS depth, last_name::text AS path
        FROM employees WHERE reports_to IS NULL
        UNION ALL
        SELECT e.employee_id, chain.depth + 1, chain.path || ' > ' || e.last_name
        FROM employees e JOIN chain ON e.reports_to = chain.employee_id
    )
    SELECT employee_id, depth, path FROM chain WHERE depth <= $1 ORDER BY path";

const PER_YEAR: &str = "
    SELECT extract(year FROM order_date)::integer AS year, count(*) AS orders
    FROM orders WHERE order_date IS NOT NULL GROUP BY 1 HAVING count(*) > $1 ORDER BY 1";

/// Asks everything.
pub(super) async fn ask(shop: &mut Shop) -> Answers {
    let mut answers = Answers::new();

    /// Asks one question: plainly, then through turbodiesel, whose outcome is noted, then again,
    /// which must be a hit.
    macro_rules! question {
        ($name:expr, $tables:expr, $query:expr, $row:ty) => {{
            let plain: Vec<$row> = $query.load(&mut shop.plain).await.unwrap();
            let plain = format!("{plain:?}");
            let mut handle = shop.db.handle();
            let ours: Vec<$row> = $query.load(&mut handle).await.unwrap();
            assert_eq!(format!("{ours:?}"), plain, "{} ({:?})", $name, handle.outcome());
            let outcome = handle.outcome().unwrap();
            let again: Vec<$row> = $query.load(&mut &shop.db).await.unwrap();
            assert_eq!(format!("{again:?}"), plain, "{}, through the Db", $name);
            let mut connection = shop.db.connection().await.unwrap();
            let again: Vec<$row> = $query.load(&mut connection).await.unwrap();
            assert_eq!(format!("{again:?}"), plain, "{}, on a connection", $name);
            let hit = matches!(connection.outcome(), Some(Outcome::Hit(_)));
            assert!(hit, "{} is not cached: {:?}", $name, connection.outcome());
            let answered = Answered { tables: $tables, answer: plain, outcome };
            assert!(answers.insert($name, answered).is_none(), "{} is asked twice", $name);
        }};
    }

    question!(
        "all categories",
        &["categories"],
        categories::table.order(categories::category_id),
        (i16, String, Option<String>, Option<Vec<u8>>)
    );
    question!(
        "shippers",
        &["shippers"],
        shippers::table
            .select((shippers::company_name, shippers::phone))
            .order(shippers::shipper_id),
        (String, Option<String>)
    );
    question!(
        "states of the south",
        &["us_states"],
        us_states::table
            .filter(us_states::state_region.eq("south"))
            .select((us_states::state_abbr, us_states::state_name))
            .order(us_states::state_id),
        (Option<String>, Option<String>)
    );
    question!(
        "a product by key",
        &["products"],
        products::table.find(11).select(Product::as_select()),
        Product
    );
    question!(
        "a product that is not there",
        &["products"],
        products::table.find(30_000).select(Product::as_select()),
        Product
    );
    for (page, name) in (0..).zip(["products, page 1", "products, page 2", "products, page 3"]) {
        let query = || {
            products::table
                .inner_join(categories::table)
                .left_join(suppliers::table)
                .filter(products::unit_price.gt(5.0_f32))
                .select((
                    Product::as_select(),
                    categories::category_name,
                    suppliers::company_name.nullable(),
                ))
                .order((products::product_name, products::product_id))
                .limit(10)
                .offset(10 * page)
        };
        question!(
            name,
            &["products", "categories", "suppliers"],
            query(),
            (Product, String, Option<String>)
        );
    }
    question!(
        "products to reorder",
        &["products"],
        products::table
            .filter(
                (products::units_in_stock + products::units_on_order).lt(products::reorder_level)
            )
            .filter(products::discontinued.eq(0))
            .select(Product::as_select())
            .order(products::product_id),
        Product
    );
    question!(
        "products nobody else is as dear as",
        &["products"],
        {
            let others = diesel::alias!(products as others);
            products::table
                .filter(
                    products::unit_price
                        .nullable()
                        .eq_any(others.select(max(others.field(products::unit_price)))),
                )
                .select(products::product_name)
        },
        String
    );
    question!(
        "products sold by the hundred",
        &["products", "order_details"],
        products::table
            .filter(
                products::product_id.eq_any(
                    order_details::table
                        .filter(order_details::quantity.ge(100))
                        .select(order_details::product_id),
                )
            )
            .select(products::product_name)
            .order(products::product_id),
        String
    );
    question!(
        "customers who never ordered",
        &["customers", "orders"],
        customers::table
            .left_join(orders::table)
            .filter(orders::order_id.is_null())
            .select(Customer::as_select())
            .order(customers::customer_id),
        Customer
    );
    question!(
        "customers without an order to ship",
        &["customers", "orders"],
        customers::table
            .filter(not(exists(
                orders::table
                    .filter(orders::customer_id.eq(customers::customer_id.nullable()))
                    .filter(orders::shipped_date.is_null()),
            )))
            .select(customers::customer_id)
            .order(customers::customer_id),
        String
    );
    question!(
        "best customers",
        &["customers", "orders", "order_details"],
        customers::table
            .inner_join(orders::table.inner_join(order_details::table))
            .group_by((customers::customer_id, customers::company_name))
            .having(sum(order_details::quantity).gt(1000))
            .select((
                customers::company_name,
                count(orders::order_id),
                sum(order_details::quantity),
            ))
            .order((sum(order_details::quantity).desc(), customers::company_name)),
        (String, i64, Option<i64>)
    );
    question!(
        "customers by country",
        &["customers"],
        customers::table
            .group_by(customers::country)
            .select((customers::country, count_star()))
            .order((count_star().desc(), customers::country)),
        (Option<String>, i64)
    );
    question!(
        "customers called like market",
        &["customers"],
        customers::table
            .filter(customers::company_name.ilike("%market%"))
            .or_filter(customers::contact_name.is_null())
            .select(Customer::as_select())
            .order(customers::customer_id),
        Customer
    );
    question!(
        "orders of a customer",
        &["orders"],
        orders::table
            .filter(orders::customer_id.eq("ALFKI"))
            .select(Order::as_select())
            .order(orders::order_id),
        Order
    );
    question!(
        "orders of a winter",
        &["orders", "shippers"],
        orders::table
            .inner_join(shippers::table)
            .filter(orders::order_date.between(
                NaiveDate::from_ymd_opt(1997, 1, 1).unwrap(),
                NaiveDate::from_ymd_opt(1997, 1, 31).unwrap(),
            ))
            .select((Order::as_select(), shippers::company_name))
            .order(orders::order_id),
        (Order, String)
    );
    question!(
        "an order with its lines",
        &["orders", "order_details", "products"],
        orders::table
            .find(10_248)
            .inner_join(order_details::table.inner_join(products::table))
            .select((
                Order::as_select(),
                (products::product_name, order_details::quantity, order_details::discount),
            ))
            .order(order_details::product_id),
        (Order, (String, i16, f32))
    );
    question!(
        "countries served by whom",
        &["orders", "employees"],
        orders::table
            .inner_join(employees::table)
            .select((orders::ship_country, employees::last_name))
            .distinct()
            .order((orders::ship_country, employees::last_name)),
        (Option<String>, String)
    );
    question!(
        "territories of an employee",
        &["employees", "employee_territories", "territories", "region"],
        employees::table
            .inner_join(
                employee_territories::table
                    .inner_join(territories::table.inner_join(region::table)),
            )
            .filter(employees::last_name.eq("Fuller"))
            .select((territories::territory_description, region::region_description))
            .order(territories::territory_id),
        (String, String)
    );
    question!(
        "who reports to whom",
        &["employees"],
        {
            let boss = diesel::alias!(employees as boss);
            employees::table
                .left_join(boss.on(employees::reports_to
                    .eq(boss.field(employees::employee_id).nullable())))
                .select((employees::last_name, boss.field(employees::last_name).nullable()))
                .order(employees::employee_id)
        },
        (String, Option<String>)
    );
    question!(
        "cities of customers and suppliers",
        &["customers", "suppliers"],
        customers::table
            .filter(customers::country.eq("France"))
            .select(customers::city)
            .union(suppliers::table.filter(suppliers::country.eq("France")).select(suppliers::city))
            .positional_order_by(1),
        Option<String>
    );
    question!(
        "revenue by category",
        &["categories", "order_details", "products"],
        diesel::sql_query(REVENUE),
        Revenue
    );
    question!(
        "the chain of command",
        &["employees"],
        diesel::sql_query(REPORTS).bind::<Integer, _>(1),
        Report
    );
    question!(
        "orders by year",
        &["orders"],
        diesel::sql_query(PER_YEAR).bind::<BigInt, _>(100),
        PerYear
    );
    question!("how many orders", &["orders"], orders::table.count(), i64);
    answers
}

/// Where answers are kept: reference data, aggregates, and all the rest. An aggregate in a subquery
/// or a derived table makes no aggregate of the whole.
pub(super) fn tier(name: &str) -> Tier {
    match name {
        "states of the south" => Tier::L3,
        "best customers" | "customers by country" | "orders by year" | "how many orders" => {
            Tier::L2
        }
        _ => Tier::L1,
    }
}
