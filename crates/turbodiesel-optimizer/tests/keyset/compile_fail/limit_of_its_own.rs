//! A query that is paginated brings no limit.

use diesel::prelude::*;
use turbodiesel_optimizer::keyset::{self, PaginateDsl};

diesel::table! {
    posts { id -> Integer, author -> Integer, published -> Nullable<Timestamp> }
}

diesel::table! {
    users { id -> Integer, name -> Text }
}

diesel::joinable!(posts -> users (author));
diesel::allow_tables_to_appear_in_same_query!(posts, users);

fn main() {
    let _ = posts::table.limit(5).paginate_by(posts::id.asc());
    // A use, so that only the mistake is complained of.
    let _ = keyset::Count::None;
}
