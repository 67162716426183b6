// Included for PostgreSQL: queries that overlap. SQLite answers on a thread of its own, sometimes before
// anybody can ask again, and then they do not.

use futures_util::{future::try_join_all, stream};

programs! { concurrent:
    joined_futures: [Concurrent] => |shop, c| {
        let ids = customer_ids(c).await?;
        let mut connections = Vec::new();
        for _ in &ids {
            connections.push(shop.connection().await);
        }
        let loads = ids.iter().zip(&mut connections).map(|(id, c)| orders_of(c, *id));
        try_join_all(loads).await?;
    }
    buffered_futures: [Concurrent] => |shop, c| {
        let ids = customer_ids(c).await?;
        let mut connections = Vec::new();
        for _ in &ids {
            connections.push(shop.connection().await);
        }
        let loads = ids.into_iter().zip(connections).map(|(id, mut c)| async move {
            orders_of(&mut c, id).await
        });
        stream::iter(loads).buffer_unordered(3).try_collect::<Vec<_>>().await?;
    }
}
