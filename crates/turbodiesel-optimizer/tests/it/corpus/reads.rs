// Included for each backend: loops that read, and other reads that are too many. `Conn` and `Shop`
// are its own.

use std::{collections::BTreeSet, time::Duration};

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::{StreamExt, TryStreamExt};
use turbodiesel_optimizer::{InCurrentScope, Located, Thresholds, unobserved};

use crate::shop::schema::*;

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    id: i32,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

async fn customer_ids(connection: &mut Conn) -> QueryResult<Vec<i32>> {
    customers::table.order(customers::id).select(customers::id).load(connection).await
}

type Order = (i32, i32, String, i32);

async fn all_orders(connection: &mut Conn) -> QueryResult<Vec<Order>> {
    orders::table.order(orders::id).load(connection).await
}

async fn customer_name(connection: &mut Conn, id: i32) -> QueryResult<String> {
    customers::table.find(id).select(customers::name).first(connection).await
}

async fn orders_of(connection: &mut Conn, customer: i32) -> QueryResult<Vec<Order>> {
    orders::table.filter(orders::customer_id.eq(customer)).load(connection).await
}

async fn items_of(connection: &mut Conn, order: i32) -> QueryResult<Vec<(i32, i32, i32)>> {
    items::table.filter(items::order_id.eq(order)).load(connection).await
}

/// Any time that is saved counts.
fn any_saving() -> Thresholds {
    Thresholds::tests().serialised(3, Duration::ZERO)
}

programs! { reads:

    orders_of_each_customer: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            orders_of(c, id).await?;
        }
    }
    customer_of_each_order: [NPlusOne] => |shop, c| {
        for (_, customer, ..) in all_orders(c).await? {
            customer_name(c, customer).await?;
        }
    }
    pluck_in_a_loop: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            orders::table.filter(orders::customer_id.eq(id)).select(orders::total).load::<i32>(c).await?;
        }
    }
    first_in_a_loop: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            let query = orders::table.filter(orders::customer_id.eq(id)).order(orders::id);
            query.first::<Order>(c).await.optional()?;
        }
    }
    last_in_a_loop: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            let query = orders::table.filter(orders::customer_id.eq(id)).order(orders::id.desc());
            query.first::<Order>(c).await.optional()?;
        }
    }
    boxed_in_a_loop: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            let query = orders::table.into_boxed().filter(orders::customer_id.eq(id));
            query.load::<Order>(c).await?;
        }
    }
    text_with_binds_in_a_loop: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            let sql = match crate::shop::Numbered::is_numbered(c) {
                true => "SELECT id FROM orders WHERE customer_id = $1",
                false => "SELECT id FROM orders WHERE customer_id = ?",
            };
            let ids = diesel::sql_query(sql).bind::<diesel::sql_types::Integer, _>(id);
            ids.load::<Id>(c).await?;
        }
    }
    text_with_literals_in_a_loop: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            let sql = format!("SELECT id FROM orders WHERE customer_id = {id}");
            diesel::sql_query(sql).load::<Id>(c).await?;
        }
    }
    parent_as_text: [NPlusOne] => |shop, c| {
        for Id { id } in diesel::sql_query("SELECT id FROM customers").load::<Id>(c).await? {
            orders_of(c, id).await?;
        }
    }
    some_of_the_rows: [NPlusOne] => |shop, c| {
        for (id, ..) in all_orders(c).await?.into_iter().filter(|(_, _, status, _)| status == "open") {
            items_of(c, id).await?;
        }
    }
    rows_in_another_order: [NPlusOne] => |shop, c| {
        let mut rows = all_orders(c).await?;
        rows.sort_by_key(|(_, _, _, total)| -total);
        for (id, ..) in rows {
            items_of(c, id).await?;
        }
    }
    each_value_once: [NPlusOne] => |shop, c| {
        let ids: BTreeSet<i32> = all_orders(c).await?.into_iter().map(|(_, id, ..)| id).collect();
        for id in ids {
            customer_name(c, id).await?;
        }
    }
    texts_as_keys: [NPlusOne] => |shop, c| {
        for code in products::table.select(products::code).load::<String>(c).await? {
            stock::table.find(code).select(stock::on_hand).first::<i32>(c).await?;
        }
    }
    integers_that_are_widened: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            let events = events::table.filter(events::customer_id.eq(i64::from(id)));
            events.select(events::at).load::<i32>(c).await?;
        }
    }
    keys_that_may_be_null: [NPlusOne] => |shop, c| {
        let referrers = customers::table.select(customers::referrer_id).load::<Option<i32>>(c).await?;
        for id in referrers.into_iter().flatten() {
            customer_name(c, id).await?;
        }
    }
    in_a_transaction: [NPlusOne] => |shop, c| {
        c.transaction(async |c| {
            for id in customer_ids(c).await? {
                orders_of(c, id).await?;
            }
            QueryResult::Ok(())
        })
        .await?;
    }
    exists_in_a_loop: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            let open = orders::table.filter(orders::customer_id.eq(id).and(orders::status.eq("open")));
            diesel::select(diesel::dsl::exists(open)).get_result::<bool>(c).await?;
        }
    }
    rows_of_a_join: [NPlusOne] => |shop, c| {
        let rows = orders::table.inner_join(customers::table).select((orders::id, customers::name));
        for (id, _) in rows.load::<(i32, String)>(c).await? {
            items_of(c, id).await?;
        }
    }
    rows_as_they_come: [NPlusOne] => |shop, c| {
        let mut second = shop.connection().await;
        let mut ids = customers::table.select(customers::id).load_stream::<i32>(c).await?;
        while let Some(id) = ids.try_next().await? {
            orders_of(&mut second, id).await?;
        }
    }
    rows_of_pages: [NPlusOne] => |shop, c| {
        for page in 0..2 {
            let ids = orders::table.order(orders::id).limit(4).offset(page * 4).select(orders::id);
            for id in ids.load::<i32>(c).await? {
                items_of(c, id).await?;
            }
        }
    }
    children_in_a_tree: [NPlusOne] => |shop, c| {
        let mut open = vec![1];
        while let Some(id) = open.pop() {
            let children = categories::table.filter(categories::parent_id.eq(id));
            open.extend(children.select(categories::id).load::<i32>(c).await?);
        }
    }
    in_spawned_tasks_one_by_one: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            let shop = std::sync::Arc::clone(&shop);
            let task = async move { orders_of(&mut shop.connection().await, id).await };
            tokio::spawn(task.in_current_scope()).await.unwrap()?;
        }
    }
    keys_of_two_columns: [NPlusOne] => |shop, c| {
        let keys = items::table.select((items::order_id, items::product_id)).load::<(i32, i32)>(c).await?;
        for key in keys {
            items::table.find(key).select(items::quantity).first::<i32>(c).await?;
        }
    }
    two_loops_after_each_other: [NPlusOne] => |shop, c| {
        let ids = customer_ids(c).await?;
        for id in &ids {
            orders_of(c, *id).await?;
        }
        for id in &ids {
            customer_name(c, *id).await?;
        }
    }
    rows_of_a_write: [NPlusOne] => |shop, c| {
        let changed = diesel::update(orders::table.filter(orders::status.eq("open")))
            .set(orders::status.eq("paid"))
            .returning(orders::id)
            .get_results::<i32>(c)
            .await?;
        for id in changed {
            items_of(c, id).await?;
        }
    }
    values_that_are_repeated: [NPlusOne] => |shop, c| {
        for product in items::table.select(items::product_id).load::<i32>(c).await? {
            products::table.find(product).select(products::code).first::<String>(c).await?;
        }
    }
    on_many_connections_one_by_one: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            orders_of(&mut shop.connection().await, id).await?;
        }
    }
    two_lookups_for_each_row: [Interleaved] => |shop, c| {
        for (id, customer, ..) in all_orders(c).await? {
            customer_name(c, customer).await?;
            items_of(c, id).await?;
        }
    }
    three_lookups_for_each_row: [Interleaved] => |shop, c| {
        for (id, customer, ..) in all_orders(c).await? {
            customer_name(c, customer).await?;
            items_of(c, id).await?;
            orders_of(c, customer).await?;
        }
    }
    a_loop_in_a_loop: [Interleaved] => |shop, c| {
        for id in customer_ids(c).await? {
            for (order, ..) in orders_of(c, id).await? {
                items_of(c, order).await?;
            }
        }
    }
    a_chain_for_each_row: [Interleaved] => |shop, c| {
        for (_, customer, ..) in all_orders(c).await? {
            let country: i32 = customers::table.find(customer).select(customers::country_id).first(c).await?;
            countries::table.find(country).select(countries::name).first::<String>(c).await?;
        }
    }
    a_count_and_rows_for_each_row: [Interleaved] => |shop, c| {
        for id in customer_ids(c).await? {
            orders::table.filter(orders::customer_id.eq(id)).count().get_result::<i64>(c).await?;
            orders_of(c, id).await?;
        }
    }
    counts_in_a_loop: [CountLoop] => |shop, c| {
        for id in customer_ids(c).await? {
            orders::table.filter(orders::customer_id.eq(id)).count().get_result::<i64>(c).await?;
        }
    }
    sums_in_a_loop: [CountLoop] => |shop, c| {
        for id in customer_ids(c).await? {
            let sum = diesel::dsl::sum(orders::total);
            let sum = orders::table.filter(orders::customer_id.eq(id)).select(sum);
            sum.get_result::<Option<i64>>(c).await?;
        }
    }
    maxima_in_a_loop: [CountLoop] => |shop, c| {
        for id in customer_ids(c).await? {
            let max = diesel::dsl::max(orders::total);
            let max = orders::table.filter(orders::customer_id.eq(id)).select(max);
            max.get_result::<Option<i32>>(c).await?;
        }
    }
    counts_as_text_in_a_loop: [CountLoop] => |shop, c| {
        for id in customer_ids(c).await? {
            let sql = format!("SELECT count(*) AS count FROM orders WHERE customer_id = {id}");
            assert!(diesel::sql_query(sql).get_result::<Count>(c).await?.count > 0);
        }
    }
    the_same_row_again: [Duplicate] => |shop, c| {
        for _ in 0..3 {
            customer_name(c, 1).await?;
        }
    }
    one_customer_for_all_orders: [Duplicate] => |shop, c| {
        for (_, customer, ..) in orders_of(c, 1).await? {
            customer_name(c, customer).await?;
        }
    }
    the_same_list_again: [Duplicate] => |shop, c| {
        for _ in 0..3 {
            all_orders(c).await?;
            countries::table.find(1).select(countries::name).first::<String>(c).await.optional()?;
            unobserved(customer_ids(c)).await?;
        }
    }
    the_same_count_again: [Duplicate] => |shop, c| {
        for _ in 0..4 {
            orders::table.count().get_result::<i64>(c).await?;
        }
    }
    the_same_row_in_between_other_writes: [Duplicate] => |shop, c| {
        for message in ["one", "two", "three"] {
            customer_name(c, 1).await?;
            unobserved(diesel::insert_into(audit::table).values(audit::message.eq(message)).execute(c)).await?;
        }
    }
    more_rows_than_anyone_reads: [OverFetch] => |shop, c| {
        lines::table.load::<(i32, String)>(c).await?;
    }
    one_row_of_many: [OverFetch] => |shop, c| {
        orders::table.get_result::<Order>(c).await?;
    }
    a_stream_that_is_left: [OverFetch] => |shop, c| {
        let rows = orders::table.load_stream::<Order>(c).await?;
        rows.take(2).try_collect::<Vec<_>>().await?;
    }
    every_pair: [OverFetch] => |shop, c| {
        diesel::sql_query("SELECT a.id FROM lines a CROSS JOIN countries b").load::<Id>(c).await?;
    }
    three_independent_reads: [SerialisedIndependent] by any_saving() => |shop, c| {
        customers::table.count().get_result::<i64>(c).await?;
        products::table.count().get_result::<i64>(c).await?;
        countries::table.count().get_result::<i64>(c).await?;
    }
    independent_reads_of_rows: [SerialisedIndependent] by any_saving() => |shop, c| {
        countries::table.load::<(i32, String)>(c).await?;
        products::table.filter(products::price.gt(3)).load::<(i32, String, i32)>(c).await?;
        all_orders(c).await?;
        jobs::table.load::<(i32, String)>(c).await?;
    }
    independent_reads_after_a_write: [SerialisedIndependent] by any_saving() => |shop, c| {
        diesel::update(jobs::table).set(jobs::state.eq("done")).execute(c).await?;
        customers::table.count().get_result::<i64>(c).await?;
        products::table.count().get_result::<i64>(c).await?;
        countries::table.count().get_result::<i64>(c).await?;
    }
    told_where_it_is: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).located().await? {
            orders_of(c, id).located().await?;
        }
    }
    in_a_scope_for_each_row: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            turbodiesel_optimizer::scope(orders_of(c, id)).await.0?;
        }
    }
    just_enough: [NPlusOne] by Thresholds::tests().repeats(6) => |shop, c| {
        for id in customer_ids(c).await? {
            orders_of(c, id).await?;
        }
    }
}
