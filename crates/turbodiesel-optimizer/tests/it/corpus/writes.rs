// Included for each backend: writes that one statement could do.

programs! { writes:

    inserts_in_a_loop: [WriteLoop] => |shop, c| {
        for message in ["one", "two", "three"] {
            diesel::insert_into(audit::table).values(audit::message.eq(message)).execute(c).await?;
        }
    }
    inserts_in_a_transaction: [WriteLoop] => |shop, c| {
        c.transaction(async |c| {
            for message in ["one", "two", "three", "four"] {
                diesel::insert_into(audit::table).values(audit::message.eq(message)).execute(c).await?;
            }
            QueryResult::Ok(())
        })
        .await?;
    }
    inserts_that_return: [WriteLoop] => |shop, c| {
        for message in ["one", "two", "three"] {
            let values = audit::message.eq(message);
            let insert = diesel::insert_into(audit::table).values(values).returning(audit::id);
            insert.get_result::<i32>(c).await?;
        }
    }
    updates_of_what_was_loaded: [WriteLoop] => |shop, c| {
        for (id, _, _, total) in all_orders(c).await? {
            let order = diesel::update(orders::table.find(id));
            order.set(orders::total.eq(total + 1)).execute(c).await?;
        }
    }
    deletes_in_a_loop: [WriteLoop] => |shop, c| {
        for (id, ..) in all_orders(c).await? {
            diesel::delete(orders::table.find(id)).execute(c).await?;
        }
    }
    upserts_in_a_loop: [WriteLoop] => |shop, c| {
        for (code, on_hand) in [("bolt", 1), ("nut", 2), ("washer", 3)] {
            diesel::insert_into(stock::table)
                .values((stock::code.eq(code), stock::on_hand.eq(on_hand)))
                .on_conflict(stock::code)
                .do_update()
                .set(stock::on_hand.eq(on_hand))
                .execute(c)
                .await?;
        }
    }
    writes_as_text_in_a_loop: [WriteLoop] => |shop, c| {
        for id in 1..=4 {
            let sql = format!("UPDATE orders SET total = 0 WHERE id = {id}");
            diesel::sql_query(sql).execute(c).await?;
        }
    }
    reads_and_writes_in_turns: [NPlusOne, WriteLoop] => |shop, c| {
        for id in customer_ids(c).await? {
            let total: i32 = orders_of(c, id).await?.iter().map(|(_, _, _, total)| total).sum();
            let event = (events::id.eq(id + 10), events::customer_id.eq(i64::from(id)), events::at.eq(total));
            diesel::insert_into(events::table).values(event).execute(c).await?;
        }
    }
    one_write_after_a_loop_of_reads: [NPlusOne] => |shop, c| {
        for id in customer_ids(c).await? {
            orders_of(c, id).await?;
        }
        diesel::insert_into(audit::table).values(audit::message.eq("done")).execute(c).await?;
    }
}
