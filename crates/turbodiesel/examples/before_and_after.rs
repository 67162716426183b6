//! An existing diesel-async program, cached by changing how its connection is obtained.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use turbodiesel::Db;

mod schema {
    diesel::table! {
        users { id -> Integer, name -> Text }
    }
}
use schema::users;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Before: let mut connection = pool.get().await?;
    let db = Db::from_env().await?;
    let mut connection = db.handle();

    for _ in 0..2 {
        let names: Vec<String> = users::table.select(users::name).load(&mut connection).await?;
        println!("{} users ({})", names.len(), connection.outcome().unwrap());
    }
    diesel::update(users::table.find(1))
        .set(users::name.eq("Ann"))
        .execute(&mut connection)
        .await?;
    Ok(())
}
