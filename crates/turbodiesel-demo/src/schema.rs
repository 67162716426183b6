//! The tables of the service: as Diesel knows them, and as the two databases create them.
//!
//! Columns have types that PostgreSQL and SQLite share. Points in time are seconds since 1970, money
//! is in cents.

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};

table! {
    users (id) {
        id -> Integer,
        name -> Text,
        active -> Bool,
    }
}

table! {
    roles (id) {
        id -> Integer,
        name -> Text,
    }
}

table! {
    /// What a role may do.
    permissions (role_id, name) {
        role_id -> Integer,
        name -> Text,
    }
}

table! {
    user_roles (user_id, role_id) {
        user_id -> Integer,
        role_id -> Integer,
    }
}

table! {
    suppliers (id) {
        id -> Integer,
        name -> Text,
        country -> Text,
    }
}

table! {
    customers (id) {
        id -> Integer,
        name -> Text,
        region -> Text,
    }
}

table! {
    products (id) {
        id -> Integer,
        name -> Text,
        category -> Text,
        supplier_id -> Integer,
        price_cents -> Integer,
        reorder_level -> Integer,
    }
}

table! {
    /// How many pieces of a product lie in a warehouse.
    inventory (product_id, warehouse) {
        product_id -> Integer,
        warehouse -> Integer,
        on_hand -> Integer,
    }
}

table! {
    orders (id) {
        id -> Integer,
        customer_id -> Integer,
        status -> Text,
        placed_at -> BigInt,
        total_cents -> Integer,
    }
}

table! {
    order_lines (order_id, line) {
        order_id -> Integer,
        line -> Integer,
        product_id -> Integer,
        quantity -> Integer,
        amount_cents -> Integer,
    }
}

table! {
    /// What a station is to produce; `station` is a number, the assignee a user.
    work_orders (id) {
        id -> Integer,
        product_id -> Integer,
        station -> Integer,
        assignee -> Nullable<Integer>,
        status -> Text,
        quantity -> Integer,
        due_at -> BigInt,
    }
}

joinable!(user_roles -> users (user_id));
joinable!(user_roles -> roles (role_id));
joinable!(permissions -> roles (role_id));
joinable!(products -> suppliers (supplier_id));
joinable!(inventory -> products (product_id));
joinable!(orders -> customers (customer_id));
joinable!(order_lines -> orders (order_id));
joinable!(order_lines -> products (product_id));
joinable!(work_orders -> products (product_id));
joinable!(work_orders -> users (assignee));

allow_tables_to_appear_in_same_query!(
    customers,
    inventory,
    order_lines,
    orders,
    permissions,
    products,
    roles,
    suppliers,
    user_roles,
    users,
    work_orders,
);

/// The statements that create the tables. `generated_key` is how the database spells an integer key
/// that it generates where none is given.
pub(crate) fn create_tables(generated_key: &str) -> String {
    format!(
        "CREATE TABLE users (
            id integer PRIMARY KEY,
            name text NOT NULL,
            active boolean NOT NULL);
        CREATE TABLE roles (
            id integer PRIMARY KEY,
            name text NOT NULL);
        CREATE TABLE permissions (
            role_id integer NOT NULL REFERENCES roles,
            name text NOT NULL,
            PRIMARY KEY (role_id, name));
        CREATE TABLE user_roles (
            user_id integer NOT NULL REFERENCES users,
            role_id integer NOT NULL REFERENCES roles,
            PRIMARY KEY (user_id, role_id));
        CREATE TABLE suppliers (
            id integer PRIMARY KEY,
            name text NOT NULL,
            country text NOT NULL);
        CREATE TABLE customers (
            id integer PRIMARY KEY,
            name text NOT NULL,
            region text NOT NULL);
        CREATE TABLE products (
            id integer PRIMARY KEY,
            name text NOT NULL,
            category text NOT NULL,
            supplier_id integer NOT NULL REFERENCES suppliers,
            price_cents integer NOT NULL,
            reorder_level integer NOT NULL);
        CREATE INDEX products_by_category ON products (category, name);
        CREATE INDEX products_by_supplier ON products (supplier_id, price_cents);
        CREATE TABLE inventory (
            product_id integer NOT NULL REFERENCES products,
            warehouse integer NOT NULL,
            on_hand integer NOT NULL,
            PRIMARY KEY (product_id, warehouse));
        CREATE INDEX inventory_by_warehouse ON inventory (warehouse, on_hand);
        CREATE TABLE orders (
            id {generated_key},
            customer_id integer NOT NULL REFERENCES customers,
            status text NOT NULL,
            placed_at bigint NOT NULL,
            total_cents integer NOT NULL);
        CREATE INDEX orders_by_customer ON orders (customer_id, placed_at);
        CREATE INDEX orders_by_time ON orders (placed_at);
        CREATE TABLE order_lines (
            order_id integer NOT NULL REFERENCES orders,
            line integer NOT NULL,
            product_id integer NOT NULL REFERENCES products,
            quantity integer NOT NULL,
            amount_cents integer NOT NULL,
            PRIMARY KEY (order_id, line));
        CREATE INDEX order_lines_by_product ON order_lines (product_id, order_id, quantity);
        CREATE TABLE work_orders (
            id {generated_key},
            product_id integer NOT NULL REFERENCES products,
            station integer NOT NULL,
            assignee integer REFERENCES users,
            status text NOT NULL,
            quantity integer NOT NULL,
            due_at bigint NOT NULL);
        CREATE INDEX work_orders_by_station ON work_orders (station, status, due_at);"
    )
}

/// Calls a macro with the name of each table, those that others refer to first.
macro_rules! for_each_table {
    ($do:ident) => {
        $do!(users);
        $do!(roles);
        $do!(permissions);
        $do!(user_roles);
        $do!(suppliers);
        $do!(customers);
        $do!(products);
        $do!(inventory);
        $do!(orders);
        $do!(order_lines);
        $do!(work_orders);
    };
}

pub(crate) use for_each_table;
