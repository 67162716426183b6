//! The queries of the service, as any Diesel application writes them.
//!
//! They stand here once. Each function is generic over the connection, so that the same code runs
//! over a plain diesel-async connection and over turbodiesel's; and the file is compiled once for
//! each backend, which it takes from the module around it.

use diesel::{
    dsl::{count, count_star, sum},
    prelude::*,
};
use diesel_async::{AsyncConnection, AsyncConnectionCore, RunQueryDsl};
use futures_util::FutureExt;

use super::Backend;
use crate::{
    data::{DAY, NOW},
    model::{Answer, Customer, Order, OrderLine, Product, Stock, Supplier},
    requests::{Item, Read, Write},
    schema::{
        customers, inventory, order_lines, orders, permissions, products, suppliers, user_roles,
        users, work_orders,
    },
};

const PAGE: i64 = 25;
const RECENT: i64 = NOW - 30 * DAY;

/// What a user may do. Every request begins with it, as in a service that checks access.
pub(crate) async fn permissions_of<C>(connection: &mut C, user: i32) -> QueryResult<Vec<String>>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    users::table
        .inner_join(user_roles::table)
        .inner_join(permissions::table.on(permissions::role_id.eq(user_roles::role_id)))
        .filter(users::id.eq(user))
        .filter(users::active)
        .select(permissions::name)
        .distinct()
        .order(permissions::name)
        .load(connection)
        .await
}

/// Answers a read.
pub(crate) async fn read<C>(connection: &mut C, read: &Read) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    match *read {
        Read::Product { id } => product(connection, id).await,
        Read::Order { id } => order(connection, id).await,
        Read::OrdersOfCustomer { id } => orders_of_customer(connection, id).await,
        Read::Catalogue { category, page } => catalogue(connection, category, page).await,
        Read::LowStock { warehouse } => low_stock(connection, warehouse).await,
        Read::StationQueue { station } => station_queue(connection, station).await,
        Read::OrdersByStatus => orders_by_status(connection).await,
        Read::RevenueByRegion => revenue_by_region(connection).await,
        Read::BestSellers { category } => best_sellers(connection, category).await,
        Read::StockByWarehouse => stock_by_warehouse(connection).await,
        Read::SuppliersByCountry => suppliers_by_country(connection).await,
    }
}

/// Carries out a write.
pub(crate) async fn write<C>(connection: &mut C, write: &Write) -> QueryResult<()>
where
    C: AsyncConnection<Backend = Backend>,
{
    match write {
        Write::PlaceOrder { customer, warehouse, placed_at, items } => {
            place_order(connection, *customer, *warehouse, *placed_at, items).await
        }
        Write::CountStock { product, warehouse, on_hand } => {
            diesel::update(inventory::table.find((product, warehouse)))
                .set(inventory::on_hand.eq(on_hand))
                .execute(connection)
                .await
                .map(drop)
        }
        Write::FinishWorkOrder { station, warehouse } => {
            finish_work_order(connection, *station, *warehouse).await
        }
        Write::ShipOrder { order } => diesel::update(orders::table.find(order))
            .set(orders::status.eq("shipped"))
            .execute(connection)
            .await
            .map(drop),
        Write::ReviseProduct { product, name, price_cents } => {
            diesel::update(products::table.find(product))
                .set((products::name.eq(name), products::price_cents.eq(price_cents)))
                .execute(connection)
                .await
                .map(drop)
        }
        Write::RenameUser { user, name } => diesel::update(users::table.find(user))
            .set(users::name.eq(name))
            .execute(connection)
            .await
            .map(drop),
    }
}

async fn product<C>(connection: &mut C, id: i32) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    let product = products::table
        .inner_join(suppliers::table)
        .filter(products::id.eq(id))
        .select((Product::as_select(), Supplier::as_select()))
        .first(connection)
        .await
        .optional()?;
    let stock = inventory::table
        .filter(inventory::product_id.eq(id))
        .order(inventory::warehouse)
        .select(Stock::as_select())
        .load(connection)
        .await?;
    Ok(Answer::Product(product, stock))
}

async fn order<C>(connection: &mut C, id: i32) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    let order = orders::table
        .inner_join(customers::table)
        .filter(orders::id.eq(id))
        .select((Order::as_select(), Customer::as_select()))
        .first(connection)
        .await
        .optional()?;
    let lines = order_lines::table
        .inner_join(products::table)
        .filter(order_lines::order_id.eq(id))
        .order(order_lines::line)
        .select((OrderLine::as_select(), products::name))
        .load(connection)
        .await?;
    Ok(Answer::Order(order, lines))
}

async fn orders_of_customer<C>(connection: &mut C, id: i32) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    orders::table
        .filter(orders::customer_id.eq(id))
        .order((orders::placed_at.desc(), orders::id.desc()))
        .limit(PAGE)
        .select(Order::as_select())
        .load(connection)
        .await
        .map(Answer::Orders)
}

async fn catalogue<C>(connection: &mut C, category: &str, page: i64) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    products::table
        .filter(products::category.eq(category))
        .order((products::name, products::id))
        .limit(PAGE)
        .offset(page * PAGE)
        .select(Product::as_select())
        .load(connection)
        .await
        .map(Answer::Products)
}

async fn low_stock<C>(connection: &mut C, warehouse: i32) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    inventory::table
        .inner_join(products::table)
        .filter(inventory::warehouse.eq(warehouse))
        .filter(inventory::on_hand.lt(products::reorder_level))
        .order((inventory::on_hand, products::id))
        .limit(PAGE)
        .select((products::id, products::name, inventory::on_hand, products::reorder_level))
        .load(connection)
        .await
        .map(Answer::LowStock)
}

async fn station_queue<C>(connection: &mut C, station: i32) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    work_orders::table
        .inner_join(products::table)
        .left_join(users::table)
        .filter(work_orders::station.eq(station))
        .filter(work_orders::status.eq("open"))
        .order((work_orders::due_at, work_orders::id))
        .limit(PAGE)
        .select((
            work_orders::id,
            work_orders::due_at,
            work_orders::quantity,
            products::name,
            users::name.nullable(),
        ))
        .load(connection)
        .await
        .map(Answer::WorkOrders)
}

async fn orders_by_status<C>(connection: &mut C) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    orders::table
        .filter(orders::placed_at.ge(RECENT))
        .group_by(orders::status)
        .order(orders::status)
        .select((orders::status, count_star(), sum(orders::total_cents)))
        .load(connection)
        .await
        .map(Answer::Groups)
}

async fn revenue_by_region<C>(connection: &mut C) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    orders::table
        .inner_join(customers::table)
        .filter(orders::placed_at.ge(RECENT))
        .group_by(customers::region)
        .order(customers::region)
        .select((customers::region, count_star(), sum(orders::total_cents)))
        .load(connection)
        .await
        .map(Answer::Groups)
}

async fn best_sellers<C>(connection: &mut C, category: &str) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    order_lines::table
        .inner_join(products::table)
        .inner_join(orders::table)
        .filter(products::category.eq(category))
        .filter(orders::placed_at.ge(RECENT))
        .group_by((products::id, products::name))
        .order((sum(order_lines::quantity).desc(), products::id))
        .limit(10)
        .select((products::id, products::name, sum(order_lines::quantity)))
        .load(connection)
        .await
        .map(Answer::Ranking)
}

async fn stock_by_warehouse<C>(connection: &mut C) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    inventory::table
        .group_by(inventory::warehouse)
        .order(inventory::warehouse)
        .select((inventory::warehouse, count_star(), sum(inventory::on_hand)))
        .load(connection)
        .await
        .map(Answer::Stock)
}

async fn suppliers_by_country<C>(connection: &mut C) -> QueryResult<Answer>
where
    C: AsyncConnectionCore<Backend = Backend>,
{
    suppliers::table
        .left_join(products::table)
        .group_by(suppliers::country)
        .order(suppliers::country)
        .select((
            suppliers::country,
            count(products::id.nullable()),
            sum(products::price_cents.nullable()),
        ))
        .load(connection)
        .await
        .map(Answer::Groups)
}

async fn place_order<C>(
    connection: &mut C,
    customer: i32,
    warehouse: i32,
    placed_at: i64,
    items: &[Item],
) -> QueryResult<()>
where
    C: AsyncConnection<Backend = Backend>,
{
    // Prices may be a moment old: what the customer saw is what the customer pays.
    let wanted: Vec<i32> = items.iter().map(|item| item.product).collect();
    let prices: Vec<(i32, i32)> = products::table
        .filter(products::id.eq_any(wanted))
        .select((products::id, products::price_cents))
        .load(connection)
        .await?;
    let mut lines: Vec<OrderLine> = Vec::with_capacity(items.len());
    for (line, item) in (1..).zip(items) {
        let (_, price) =
            prices.iter().find(|(id, _)| *id == item.product).ok_or(diesel::NotFound)?;
        lines.push(OrderLine {
            order_id: 0,
            line,
            product_id: item.product,
            quantity: item.quantity,
            amount_cents: price * item.quantity,
        });
    }
    let total_cents: i32 = lines.iter().map(|line| line.amount_cents).sum();

    connection
        .transaction::<_, diesel::result::Error, _>(async move |connection| {
            // The first statement writes: SQLite then waits for its turn here, and never later.
            let order: i32 = diesel::insert_into(orders::table)
                .values((
                    orders::customer_id.eq(customer),
                    orders::status.eq("open"),
                    orders::placed_at.eq(placed_at),
                    orders::total_cents.eq(total_cents),
                ))
                .returning(orders::id)
                .get_result(connection)
                .await?;
            let mut missing = false;
            for mut line in lines {
                let taken = diesel::update(inventory::table.find((line.product_id, warehouse)))
                    .filter(inventory::on_hand.ge(line.quantity))
                    .set(inventory::on_hand.eq(inventory::on_hand - line.quantity))
                    .execute(connection)
                    .await?;
                missing |= taken == 0;
                line.order_id = order;
                diesel::insert_into(order_lines::table).values(line).execute(connection).await?;
            }
            if missing {
                diesel::update(orders::table.find(order))
                    .set(orders::status.eq("backordered"))
                    .execute(connection)
                    .await?;
            }
            Ok(())
        })
        .boxed()
        .await
}

async fn finish_work_order<C>(connection: &mut C, station: i32, warehouse: i32) -> QueryResult<()>
where
    C: AsyncConnection<Backend = Backend>,
{
    let next: Option<(i32, i32, Option<i32>, i32, i64)> = work_orders::table
        .filter(work_orders::station.eq(station))
        .filter(work_orders::status.eq("open"))
        .order((work_orders::due_at, work_orders::id))
        .select((
            work_orders::id,
            work_orders::product_id,
            work_orders::assignee,
            work_orders::quantity,
            work_orders::due_at,
        ))
        .first(connection)
        .await
        .optional()?;
    let Some((id, product, assignee, quantity, due_at)) = next else { return Ok(()) };

    connection
        .transaction::<_, diesel::result::Error, _>(async move |connection| {
            let finished = diesel::update(work_orders::table.find(id))
                .filter(work_orders::status.eq("open"))
                .set(work_orders::status.eq("finished"))
                .execute(connection)
                .await?;
            // A colleague was faster.
            if finished == 0 {
                return Ok(());
            }
            diesel::update(inventory::table.find((product, warehouse)))
                .set(inventory::on_hand.eq(inventory::on_hand + quantity))
                .execute(connection)
                .await?;
            diesel::insert_into(work_orders::table)
                .values((
                    work_orders::product_id.eq(product),
                    work_orders::station.eq(station),
                    work_orders::assignee.eq(assignee),
                    work_orders::status.eq("open"),
                    work_orders::quantity.eq(quantity),
                    work_orders::due_at.eq(due_at + 30 * DAY),
                ))
                .execute(connection)
                .await?;
            Ok(())
        })
        .boxed()
        .await
}
