//! The tables of Northwind that the application uses, as Diesel prints them.

diesel::table! {
    categories (category_id) {
        category_id -> SmallInt,
        category_name -> Varchar,
        description -> Nullable<Text>,
        picture -> Nullable<Bytea>,
    }
}

diesel::table! {
    customers (customer_id) {
        customer_id -> Varchar,
        company_name -> Varchar,
        contact_name -> Nullable<Varchar>,
        city -> Nullable<Varchar>,
        region -> Nullable<Varchar>,
        country -> Nullable<Varchar>,
        phone -> Nullable<Varchar>,
    }
}

diesel::table! {
    employees (employee_id) {
        employee_id -> SmallInt,
        last_name -> Varchar,
        first_name -> Varchar,
        title -> Nullable<Varchar>,
        birth_date -> Nullable<Date>,
        photo -> Nullable<Bytea>,
        notes -> Nullable<Text>,
        reports_to -> Nullable<SmallInt>,
    }
}

diesel::table! {
    employee_territories (employee_id, territory_id) {
        employee_id -> SmallInt,
        territory_id -> Varchar,
    }
}

diesel::table! {
    order_details (order_id, product_id) {
        order_id -> SmallInt,
        product_id -> SmallInt,
        unit_price -> Float,
        quantity -> SmallInt,
        discount -> Float,
    }
}

diesel::table! {
    orders (order_id) {
        order_id -> SmallInt,
        customer_id -> Nullable<Varchar>,
        employee_id -> Nullable<SmallInt>,
        order_date -> Nullable<Date>,
        shipped_date -> Nullable<Date>,
        ship_via -> Nullable<SmallInt>,
        freight -> Nullable<Float>,
        ship_country -> Nullable<Varchar>,
    }
}

diesel::table! {
    products (product_id) {
        product_id -> SmallInt,
        product_name -> Varchar,
        supplier_id -> Nullable<SmallInt>,
        category_id -> Nullable<SmallInt>,
        unit_price -> Nullable<Float>,
        units_in_stock -> Nullable<SmallInt>,
        units_on_order -> Nullable<SmallInt>,
        reorder_level -> Nullable<SmallInt>,
        discontinued -> Integer,
    }
}

diesel::table! {
    region (region_id) {
        region_id -> SmallInt,
        region_description -> Varchar,
    }
}

diesel::table! {
    shippers (shipper_id) {
        shipper_id -> SmallInt,
        company_name -> Varchar,
        phone -> Nullable<Varchar>,
    }
}

diesel::table! {
    suppliers (supplier_id) {
        supplier_id -> SmallInt,
        company_name -> Varchar,
        city -> Nullable<Varchar>,
        country -> Nullable<Varchar>,
        homepage -> Nullable<Text>,
    }
}

diesel::table! {
    territories (territory_id) {
        territory_id -> Varchar,
        territory_description -> Varchar,
        region_id -> SmallInt,
    }
}

diesel::table! {
    us_states (state_id) {
        state_id -> SmallInt,
        state_name -> Nullable<Varchar>,
        state_abbr -> Nullable<Varchar>,
        state_region -> Nullable<Varchar>,
    }
}

diesel::joinable!(employee_territories -> employees (employee_id));
diesel::joinable!(employee_territories -> territories (territory_id));
diesel::joinable!(order_details -> orders (order_id));
diesel::joinable!(order_details -> products (product_id));
diesel::joinable!(orders -> customers (customer_id));
diesel::joinable!(orders -> employees (employee_id));
diesel::joinable!(orders -> shippers (ship_via));
diesel::joinable!(products -> categories (category_id));
diesel::joinable!(products -> suppliers (supplier_id));
diesel::joinable!(territories -> region (region_id));

diesel::allow_tables_to_appear_in_same_query!(
    categories,
    customers,
    employee_territories,
    employees,
    order_details,
    orders,
    products,
    region,
    shippers,
    suppliers,
    territories,
    us_states,
);
