// Included for each backend: look-alikes with which nothing is wrong.

async fn log(connection: &mut Conn, message: &str) -> QueryResult<usize> {
    diesel::insert_into(audit::table).values(audit::message.eq(message)).execute(connection).await
}

programs! { fine:

    one_query_for_all: [] => |shop, c| {
        let ids = customer_ids(c).await?;
        orders::table.filter(orders::customer_id.eq_any(ids)).load::<Order>(c).await?;
    }
    a_join: [] => |shop, c| {
        let rows = orders::table.inner_join(customers::table).select((orders::id, customers::name));
        rows.load::<(i32, String)>(c).await?;
    }
    a_group_by: [] => |shop, c| {
        let counts = orders::table.group_by(orders::customer_id);
        let counts = counts.select((orders::customer_id, diesel::dsl::count_star()));
        counts.load::<(i32, i64)>(c).await?;
    }
    a_query_for_each_level: [] => |shop, c| {
        let mut level = vec![1];
        while !level.is_empty() {
            let children = categories::table.filter(categories::parent_id.eq_any(level));
            level = children.select(categories::id).load(c).await?;
        }
    }
    two_of_many_rows: [] => |shop, c| {
        for id in customer_ids(c).await?.into_iter().take(2) {
            orders_of(c, id).await?;
        }
    }
    fewer_than_the_threshold: [] by Thresholds::tests().repeats(7) => |shop, c| {
        for id in customer_ids(c).await? {
            orders_of(c, id).await?;
        }
    }
    faster_than_the_threshold: [] by Thresholds::tests().time(Duration::from_secs(60)) => |shop, c| {
        for id in customer_ids(c).await? {
            orders_of(c, id).await?;
        }
    }
    pages_by_offset: [] => |shop, c| {
        customer_ids(c).await?;
        for page in 0..4 {
            orders::table.order(orders::id).limit(2).offset(page * 2).load::<Order>(c).await?;
        }
    }
    pages_by_keyset: [] => |shop, c| {
        let mut last = 0;
        loop {
            let page = orders::table.filter(orders::id.gt(last)).order(orders::id).limit(2);
            match page.load::<Order>(c).await?.last() {
                Some((id, ..)) => last = *id,
                None => break,
            }
        }
    }
    a_walk_along_a_list: [] => |shop, c| {
        let mut id = 1;
        while id != 0 {
            id = nodes::table.find(id).select(nodes::next_id).first(c).await?;
        }
    }
    a_walk_over_two_tables: [] => |shop, c| {
        let mut id = 1;
        loop {
            let next: i32 = nodes::table.find(id).select(nodes::next_id).first(c).await?;
            let link = links::table.find(next).select(links::node_id).first(c).await.optional()?;
            match link {
                Some(node) => id = node,
                None => break,
            }
        }
    }
    a_walk_up_a_tree: [] => |shop, c| {
        let mut id = 8;
        while id != 0 {
            id = categories::table.find(id).select(categories::parent_id).first(c).await?;
        }
    }
    numbers_that_are_equal_by_chance: [] => |shop, c| {
        customer_ids(c).await?;
        for quantity in 1..=6 {
            items::table.filter(items::quantity.eq(quantity)).load::<(i32, i32, i32)>(c).await?;
        }
    }
    prices_that_are_equal_by_chance: [] => |shop, c| {
        let quantities = items::table.select(items::quantity).load::<i32>(c).await?;
        for quantity in quantities.into_iter().collect::<BTreeSet<_>>() {
            products::table.filter(products::price.eq(quantity)).load::<(i32, String, i32)>(c).await?;
        }
    }
    keys_that_are_equal_by_chance: [] => |shop, c| {
        customer_ids(c).await?;
        for product in [3, 1, 5, 2] {
            products::table.find(product).select(products::code).first::<String>(c).await?;
        }
    }
    keys_of_the_request: [] => |shop, c| {
        for id in [3, 1, 5, 2] {
            customer_name(c, id).await?;
        }
    }
    rows_that_come_afterwards: [] => |shop, c| {
        for id in [3, 1, 5, 2] {
            orders_of(c, id).await?;
        }
        customer_ids(c).await?;
    }
    ranges_in_a_loop: [] => |shop, c| {
        customer_ids(c).await?;
        for at in [100, 200, 300, 400] {
            let events = events::table.filter(events::at.ge(at).and(events::at.lt(at + 100)));
            events.select(events::id).load::<i32>(c).await?;
        }
    }
    chunks_in_a_loop: [] => |shop, c| {
        let ids: Vec<i32> = all_orders(c).await?.into_iter().map(|(id, ..)| id).collect();
        for chunk in ids.chunks(2) {
            items::table.filter(items::order_id.eq_any(chunk.to_vec())).load::<(i32, i32, i32)>(c).await?;
        }
    }
    chunks_of_inserts: [] => |shop, c| {
        for chunk in 0..4 {
            let sql = format!("INSERT INTO audit (message) VALUES ('a{chunk}'), ('b{chunk}'), ('c{chunk}')");
            diesel::sql_query(sql).execute(c).await?;
        }
    }
    writes_of_many_rows_each: [] => |shop, c| {
        for status in ["open", "paid", "sent"] {
            let orders = diesel::update(orders::table.filter(orders::status.eq(status)));
            orders.set(orders::total.eq(0)).execute(c).await?;
        }
    }
    a_log_of_different_steps: [] => |shop, c| {
        log(c, "begun").await?;
        diesel::update(orders::table.find(1)).set(orders::status.eq("paid")).execute(c).await?;
        log(c, "paid").await?;
        diesel::delete(items::table.filter(items::order_id.eq(1))).execute(c).await?;
        log(c, "emptied").await?;
        diesel::update(jobs::table.find(1)).set(jobs::state.eq("done")).execute(c).await?;
        log(c, "done").await?;
    }
    two_inserts: [] => |shop, c| {
        log(c, "one").await?;
        log(c, "two").await?;
    }
    the_same_row_twice: [] => |shop, c| {
        customer_name(c, 1).await?;
        customer_name(c, 1).await?;
    }
    the_same_row_after_each_write: [] => |shop, c| {
        for name in ["Amy", "Ada", "Ava"] {
            customer_name(c, 1).await?;
            let customer = diesel::update(customers::table.find(1));
            match name {
                "Amy" => customer.set(customers::name.eq(name)).execute(c).await?,
                "Ada" => customer.set((customers::name.eq(name), customers::country_id.eq(1))).execute(c).await?,
                _ => customer.set(customers::country_id.eq(2)).execute(c).await?,
            };
        }
    }
    a_state_that_is_waited_for: [] => |shop, c| {
        let mut other = shop.connection().await;
        for state in ["queued", "running", "done"] {
            let set = diesel::update(jobs::table.find(1)).set(jobs::state.eq(state));
            unobserved(set.execute(&mut other)).await?;
            jobs::table.find(1).select(jobs::state).first::<String>(c).await?;
        }
    }
    what_no_table_answers: [] => |shop, c| {
        for _ in 0..5 {
            diesel::select(1_i32.into_sql::<diesel::sql_types::Integer>()).get_result::<i32>(c).await?;
        }
    }
    errors_that_are_tried_again: [] => |shop, c| {
        for _ in 0..4 {
            let product = (products::id.eq(1), products::code.eq("bolt"), products::price.eq(1));
            let insert = diesel::insert_into(products::table).values(product).execute(c).await;
            assert!(insert.is_err());
        }
    }
    a_loop_that_is_not_observed: [] => |shop, c| {
        let ids = customer_ids(c).await?;
        unobserved(async {
            for id in ids {
                orders_of(c, id).await?;
            }
            QueryResult::Ok(())
        })
        .await?;
    }
    a_pause_that_ends_in_an_error: [] => |shop, c| {
        let ids = customer_ids(c).await?;
        let failed = unobserved(async {
            for id in &ids {
                orders_of(c, *id).await?;
            }
            Err::<(), _>(diesel::result::Error::NotFound)
        })
        .await;
        assert!(failed.is_err());
        // Recorded again, but not too often.
        orders_of(c, 1).await?;
        orders_of(c, 2).await?;
    }
    futures_that_are_dropped: [] => |shop, c| {
        for id in customer_ids(c).await? {
            drop(orders_of(c, id));
        }
    }
    futures_that_are_made_in_the_scope_and_polled_outside: [] => |shop, c| {
        for id in customer_ids(c).await? {
            let orders = orders::table.filter(orders::customer_id.eq(id));
            unobserved(orders.load::<Order>(c)).await?;
        }
    }
    tasks_that_do_not_take_the_scope: [] => |shop, c| {
        for id in customer_ids(c).await? {
            let shop = std::sync::Arc::clone(&shop);
            tokio::spawn(async move { orders_of(&mut shop.connection().await, id).await }).await.unwrap()?;
        }
    }
    many_rows_as_asked_for: [] => |shop, c| {
        lines::table.limit(1_200).load::<(i32, String)>(c).await?;
    }
    all_rows_of_a_small_table: [] => |shop, c| {
        all_orders(c).await?;
        let rows = orders::table.load_stream::<Order>(c).await?;
        rows.try_collect::<Vec<_>>().await?;
    }
    the_first_of_many: [] => |shop, c| {
        lines::table.order(lines::id).first::<(i32, String)>(c).await?;
        customers::table.find(1).get_result::<(i32, String, i32, Option<i32>)>(c).await?;
    }
    a_count_of_many: [] => |shop, c| {
        lines::table.count().get_result::<i64>(c).await?;
    }
    reads_that_follow_from_each_other: [] by any_saving() => |shop, c| {
        let customer: i32 = orders::table.find(2).select(orders::customer_id).first(c).await?;
        let country: i32 = customers::table.find(customer).select(customers::country_id).first(c).await?;
        countries::table.find(country).select(countries::name).first::<String>(c).await?;
    }
    independent_reads_in_a_transaction: [] by any_saving() => |shop, c| {
        c.transaction(async |c| {
            customers::table.count().get_result::<i64>(c).await?;
            products::table.count().get_result::<i64>(c).await?;
            countries::table.count().get_result::<i64>(c).await?;
            QueryResult::Ok(())
        })
        .await?;
    }
    different_reads_of_one_table: [] by any_saving() => |shop, c| {
        orders::table.count().get_result::<i64>(c).await?;
        orders::table.select(diesel::dsl::max(orders::total)).get_result::<Option<i32>>(c).await?;
        orders::table.find(1).first::<Order>(c).await?;
    }
    two_independent_reads: [] by any_saving() => |shop, c| {
        customers::table.count().get_result::<i64>(c).await?;
        products::table.count().get_result::<i64>(c).await?;
    }
    reads_around_a_write: [] by any_saving() => |shop, c| {
        customers::table.count().get_result::<i64>(c).await?;
        log(c, "counted").await?;
        products::table.count().get_result::<i64>(c).await?;
        countries::table.count().get_result::<i64>(c).await?;
    }
    independent_reads_that_save_too_little: [] by Thresholds::tests().serialised(3, Duration::from_secs(60)) => |shop, c| {
        customers::table.count().get_result::<i64>(c).await?;
        products::table.count().get_result::<i64>(c).await?;
        countries::table.count().get_result::<i64>(c).await?;
    }
    two_places_told_apart: [] => |shop, c| {
        let ids = customer_ids(c).await?;
        orders_of(c, ids[0]).located().await?;
        orders_of(c, ids[1]).located().await?;
        orders_of(c, ids[2]).located().await?;
        orders_of(c, ids[3]).located().await?;
    }
    a_batch: [] => |shop, c| {
        c.batch_execute("UPDATE orders SET total = 1; UPDATE orders SET total = 2").await?;
    }
}
