//! The rows of the tables, one struct each, and the answers made of them.

use diesel::prelude::*;

use crate::schema::{
    customers, inventory, order_lines, orders, permissions, products, roles, suppliers, user_roles,
    users, work_orders,
};

#[derive(Clone, Debug, Insertable)]
pub(crate) struct User {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) active: bool,
}

#[derive(Clone, Debug, Insertable)]
pub(crate) struct Role {
    pub(crate) id: i32,
    pub(crate) name: String,
}

#[derive(Clone, Debug, Insertable)]
pub(crate) struct Permission {
    pub(crate) role_id: i32,
    pub(crate) name: String,
}

#[derive(Clone, Debug, Insertable)]
pub(crate) struct UserRole {
    pub(crate) user_id: i32,
    pub(crate) role_id: i32,
}

#[derive(Clone, Debug, Eq, Insertable, PartialEq, Queryable, Selectable)]
pub(crate) struct Supplier {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) country: String,
}

#[derive(Clone, Debug, Eq, Insertable, PartialEq, Queryable, Selectable)]
pub(crate) struct Customer {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) region: String,
}

#[derive(Clone, Debug, Eq, Insertable, PartialEq, Queryable, Selectable)]
pub(crate) struct Product {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) supplier_id: i32,
    pub(crate) price_cents: i32,
    pub(crate) reorder_level: i32,
}

#[derive(Clone, Debug, Eq, Insertable, PartialEq, Queryable, Selectable)]
#[diesel(table_name = inventory)]
pub(crate) struct Stock {
    pub(crate) product_id: i32,
    pub(crate) warehouse: i32,
    pub(crate) on_hand: i32,
}

#[derive(Clone, Debug, Eq, Insertable, PartialEq, Queryable, Selectable)]
pub(crate) struct Order {
    pub(crate) id: i32,
    pub(crate) customer_id: i32,
    pub(crate) status: String,
    pub(crate) placed_at: i64,
    pub(crate) total_cents: i32,
}

#[derive(Clone, Debug, Eq, Insertable, PartialEq, Queryable, Selectable)]
pub(crate) struct OrderLine {
    pub(crate) order_id: i32,
    pub(crate) line: i32,
    pub(crate) product_id: i32,
    pub(crate) quantity: i32,
    pub(crate) amount_cents: i32,
}

#[derive(Clone, Debug, Eq, Insertable, PartialEq, Queryable, Selectable)]
pub(crate) struct WorkOrder {
    pub(crate) id: i32,
    pub(crate) product_id: i32,
    pub(crate) station: i32,
    pub(crate) assignee: Option<i32>,
    pub(crate) status: String,
    pub(crate) quantity: i32,
    pub(crate) due_at: i64,
}

/// What a read came to. Two responses to the same request can be compared.
#[derive(Debug, PartialEq)]
pub(crate) struct Response {
    /// What the user may do.
    pub(crate) permissions: Vec<String>,
    pub(crate) answer: Answer,
}

/// What was asked for.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Product(Option<(Product, Supplier)>, Vec<Stock>),
    Order(Option<(Order, Customer)>, Vec<(OrderLine, String)>),
    Orders(Vec<Order>),
    Products(Vec<Product>),
    LowStock(Vec<(i32, String, i32, i32)>),
    WorkOrders(Vec<(i32, i64, i32, String, Option<String>)>),
    Groups(Vec<(String, i64, Option<i64>)>),
    Ranking(Vec<(i32, String, Option<i64>)>),
    Stock(Vec<(i32, i64, Option<i64>)>),
}
