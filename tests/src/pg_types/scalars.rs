//! The types of single values.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use diesel::{
    data_types::{PgDate, PgInterval, PgLsn, PgMoney, PgNumeric, PgTime, PgTimestamp},
    sql_types::{
        self, BigInt, Binary, Bool, Bpchar, CChar, Cidr, Citext, Date, Double, Float, Inet,
        Integer, Interval, Json, Jsonb, MacAddr, MacAddr8, Money, Numeric, Oid, SmallInt, Text,
        Time, Timestamp, Timestamptz, VarChar,
    },
};
use ipnet::IpNet;

use super::{
    Bench,
    Literals::{Cached, Refused},
    check_values, quoted, raw_rows, typed_rows,
};

#[tokio::test]
async fn integers_and_booleans() {
    let mut bench = Bench::new("").await;
    check_values!(&mut bench, "smallint", SmallInt => i16,
        quoted(["0", "1", "-1", "32767", "-32768"]), Cached);
    check_values!(&mut bench, "integer", Integer => i32,
        quoted(["0", "1", "-1", "2147483647", "-2147483648"]), Cached);
    check_values!(&mut bench, "bigint", BigInt => i64,
        quoted(["0", "1", "-1", "9223372036854775807", "-9223372036854775808"]), Cached);
    check_values!(&mut bench, "oid", Oid => u32,
        quoted(["0", "1", "2147483648", "4294967295"]), Cached);
    check_values!(&mut bench, "boolean", Bool => bool, quoted(["true", "false"]), Cached);
}

#[tokio::test]
async fn floats_and_numbers() {
    let mut bench = Bench::new("").await;
    check_values!(&mut bench, "real", Float => f32,
        quoted(["0", "-0", "1.5", "NaN", "Infinity", "-Infinity", "3.4028235e38", "1e-45"]),
        Cached);
    check_values!(&mut bench, "double precision", Double => f64,
        quoted(["0", "-0", "0.1", "NaN", "Infinity", "-Infinity", "1.7976931348623157e308",
            "5e-324"]),
        Cached);
    let digits = "9".repeat(1000);
    let small = format!("-0.{}1", "0".repeat(2000));
    check_values!(&mut bench, "numeric", Numeric => PgNumeric,
        quoted(["0", "0.00000", "1", "-1.50", "12345678901234567890.123456789", "NaN", &digits,
            &small]),
        Cached);
    check_values!(&mut bench, "numeric(12, 3)", Numeric => bigdecimal::BigDecimal,
        quoted(["0", "1", "-1.5", "123456789.123", "-999999999.999"]), Cached);
    check_values!(&mut bench, "money", Money => PgMoney,
        quoted(["0", "1.23", "-92233720368547758.08", "92233720368547758.07"]), Cached);
}

#[tokio::test]
async fn an_error_of_decoding_is_the_same_from_the_cache() {
    let mut bench = Bench::new("").await;
    // Diesel knows no infinite numerics, and chrono no dates without end.
    let table = bench.table_of("numeric", &quoted(["1", "Infinity"])).await;
    let sql = format!("SELECT v FROM {table} WHERE v IS NOT NULL");
    raw_rows!(&mut bench, diesel::sql_query(&sql));
    typed_rows!(&mut bench, diesel::dsl::sql::<Numeric>(&sql), PgNumeric).unwrap_err();

    let table = bench.table_of("date", &quoted(["2024-02-29", "infinity"])).await;
    let sql = format!("SELECT v FROM {table} WHERE v IS NOT NULL");
    raw_rows!(&mut bench, diesel::sql_query(&sql));
    typed_rows!(&mut bench, diesel::dsl::sql::<Date>(&sql), NaiveDate).unwrap_err();

    // A NULL where the application expects none, and a type that is not the column's.
    let sql = format!("SELECT v FROM {table} ORDER BY id");
    raw_rows!(&mut bench, diesel::sql_query(&sql));
    typed_rows!(&mut bench, diesel::dsl::sql::<Date>(&sql), PgDate).unwrap_err();
    let sql = format!("SELECT id FROM {table} ORDER BY id");
    raw_rows!(&mut bench, diesel::sql_query(&sql));
    typed_rows!(&mut bench, diesel::dsl::sql::<BigInt>(&sql), i64).unwrap_err();
    typed_rows!(&mut bench, diesel::dsl::sql::<Integer>(&sql), i32).unwrap();
}

#[tokio::test]
async fn texts() {
    let mut bench = Bench::new("").await;
    let long = "ä€𝄞".repeat(5000);
    let texts = || {
        quoted(["", " ", "NULL", "'", "\\", "a\tb\nc\u{1}", "Grüße, 世界", "👩‍👩‍👧‍👦", "e\u{301}", &long])
    };
    check_values!(&mut bench, "text", Text => String, texts(), Cached);
    check_values!(&mut bench, "varchar", VarChar => String, texts(), Cached);
    check_values!(&mut bench, "varchar(5)", VarChar => String,
        quoted(["", "a", "abcde", "ab   ", "€€€€€"]), Cached);
    check_values!(&mut bench, "char(5)", Bpchar => String,
        quoted(["", "a", "abcde", "  a  "]), Cached);
    check_values!(&mut bench, "name", Text => String, quoted(["", "pg_class"]), Cached);
    check_values!(&mut bench, "\"char\"", CChar => u8, quoted(["a", "~", ""]), Refused);
}

#[tokio::test]
async fn texts_that_ignore_case() {
    let database = turbodiesel_testkit::database();
    if let Err(error) = database.batch_execute("CREATE EXTENSION citext") {
        eprintln!("skipped: this server has no citext ({error})");
        return;
    }
    let mut bench = Bench::new("CREATE EXTENSION citext").await;
    check_values!(&mut bench, "citext", Citext => String,
        quoted(["", "Ann", "ann", "ÄÖ"]), Cached);
    // As a bind its OID is only known to the connection that executes.
    let table = bench.table_of("citext", &quoted(["Ann", "aNN", "Bob"])).await;
    let sql = format!("SELECT v FROM {table} WHERE v = $1 ORDER BY id");
    let rows = raw_rows!(&mut bench, diesel::sql_query(&sql).bind::<Citext, _>("Ann"));
    assert_eq!(rows.len(), 2);
    // The same text as a `text` bind compares as text: another statement to the server.
    let rows = raw_rows!(&mut bench, diesel::sql_query(&sql).bind::<Text, _>("Ann"));
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn bytes() {
    let mut bench = Bench::new("").await;
    let all: String = (0..=255).map(|byte| format!("{byte:02x}")).collect();
    check_values!(&mut bench, "bytea", Binary => Vec<u8>,
        quoted(["", "\\x00", "\\xff", "\\x0000000000", &format!("\\x{all}")]), Cached);
}

#[tokio::test]
async fn dates_and_times() {
    let mut bench = Bench::new("").await;
    let dates = ["2000-01-01", "1999-12-31", "2024-02-29", "0044-03-15 BC", "9999-12-31"];
    check_values!(&mut bench, "date", Date => NaiveDate, quoted(dates), Cached);
    check_values!(&mut bench, "date", Date => PgDate,
        quoted(["infinity", "-infinity", "4714-11-24 BC", "5874897-12-31"]), Refused);
    check_values!(&mut bench, "time", Time => NaiveTime,
        quoted(["00:00:00", "23:59:59.999999", "12:00:00.000001"]), Cached);
    check_values!(&mut bench, "time", Time => PgTime, quoted(["24:00:00"]), Cached);
    let times = ["2000-01-01 00:00:00", "1969-12-31 23:59:59.999999", "2024-02-29 12:34:56.789"];
    check_values!(&mut bench, "timestamp", Timestamp => NaiveDateTime, quoted(times), Cached);
    check_values!(&mut bench, "timestamptz", Timestamptz => DateTime<Utc>,
        quoted(["2000-01-01 00:00:00+00", "2024-03-31 02:30:00+02", "1969-12-31 23:59:59-12"]),
        Cached);
    let extremes = || {
        quoted(["infinity", "-infinity", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999"])
    };
    check_values!(&mut bench, "timestamp", Timestamp => PgTimestamp, extremes(), Refused);
    check_values!(&mut bench, "timestamptz", Timestamptz => PgTimestamp, extremes(), Refused);
    check_values!(&mut bench, "interval", Interval => PgInterval,
        quoted(["0", "1 year 2 months -3 days 04:05:06.789", "-178000000 years",
            "178000000 years", "1 microsecond", "24 hours", "1 day"]),
        Cached);
}

#[tokio::test]
async fn identifiers_and_addresses() {
    let mut bench = Bench::new("").await;
    check_values!(&mut bench, "uuid", sql_types::Uuid => uuid::Uuid,
        quoted(["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        Cached);
    check_values!(&mut bench, "inet", Inet => IpNet,
        quoted(["0.0.0.0", "192.168.1.7/24", "255.255.255.255", "::1", "2001:db8::1/64", "::/0"]),
        Cached);
    check_values!(&mut bench, "cidr", Cidr => IpNet,
        quoted(["0.0.0.0/0", "10.0.0.0/8", "2001:db8::/32", "::ffff:1.2.3.4/128"]), Cached);
    check_values!(&mut bench, "macaddr", MacAddr => [u8; 6],
        quoted(["00:00:00:00:00:00", "08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"]), Cached);
    check_values!(&mut bench, "macaddr8", MacAddr8 => [u8; 8],
        quoted(["00:00:00:00:00:00:00:00", "08:00:2b:01:02:03:04:05"]), Cached);
    check_values!(&mut bench, "pg_lsn", sql_types::PgLsn => PgLsn,
        quoted(["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"]), Refused);
}

#[tokio::test]
async fn documents() {
    let mut bench = Bench::new("").await;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let documents = || {
        quoted([
            "null",
            "true",
            "0",
            "-1.5e10",
            "\"\"",
            "\"\\u00e4 € \\\\ \\\"\"",
            "{}",
            "[]",
            "{\"b\": 1, \"a\": [1, null, {\"c\": \"d\"}], \"a \": \"'\"}",
            &deep,
        ])
    };
    check_values!(&mut bench, "json", Json => serde_json::Value, documents(), Cached);
    check_values!(&mut bench, "jsonb", Jsonb => serde_json::Value, documents(), Cached);
}

/// Types that Diesel does not know still pass through as bytes.
#[tokio::test]
async fn types_without_a_name_in_diesel() {
    let mut bench = Bench::new("").await;
    for (sql_type, values) in [
        ("bit(3)", quoted(["101"])),
        ("varbit", quoted(["", "101010101"])),
        ("point", quoted(["(1.5,-2)"])),
        ("box", quoted(["(1,1),(0,0)"])),
        ("tsvector", quoted(["a fat cat"])),
        ("xml", quoted(["<a/>"])),
        ("timetz", quoted(["12:00:00+02"])),
    ] {
        let table = bench.table_of(sql_type, &values).await;
        let rows = raw_rows!(&mut bench, diesel::sql_query(format!("SELECT * FROM {table}")));
        assert_eq!(rows.len(), values.len() + 2);
    }
}
