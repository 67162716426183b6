//! Keys of several columns. Who writes by all of them touches no more rows than he names, and learns
//! which; by some of them it may be many.

use super::{ENDED, NOTHING, ended, execute, open_with, tells_what_was_before};

/// Two sales of two products, each line in a parcel of its own, which no condition names.
fn lines(key: &str) -> String {
    format!(
        "CREATE TABLE lines (sale integer, product integer, parcel integer, note text, {key});
         CREATE INDEX ON lines (parcel);
         INSERT INTO lines VALUES (1, 1, 1), (1, 2, 2), (2, 1, 3), (2, 2, 4);"
    )
}

/// Which answers a write ends: those by each sale, by each product and by each parcel.
async fn ended_by(key: &str, write: &str) -> Vec<bool> {
    let (_database, db) = open_with(&lines(key)).await;
    let by = |column: &str, value: i32| {
        format!(
            "SELECT coalesce(string_agg(parcel || coalesce(note, ''), ',' ORDER BY parcel), '')
             AS answer FROM lines WHERE {column} = {value}"
        )
    };
    let questions: Vec<String> = [("sale", 1..=2), ("product", 1..=2), ("parcel", 1..=4)]
        .into_iter()
        .flat_map(|(column, values)| values.map(move |value| by(column, value)))
        .collect();
    let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
    ended(&db, &questions, async |db| execute(db, write).await).await
}

#[tokio::test]
async fn a_write_by_all_columns_of_a_key_ends_its_row_alone() {
    // A NULL equals nothing, so the columns need not forbid it.
    for key in ["PRIMARY KEY (sale, product)", "UNIQUE (product, sale)"] {
        for write in [
            "UPDATE lines SET note = 'x' WHERE sale = 1 AND product = 1",
            "DELETE FROM lines WHERE product = 1 AND sale = 1",
            "INSERT INTO lines VALUES (1, 1, 9) ON CONFLICT (sale, product) DO UPDATE SET note = 'x'",
        ] {
            let one = [ENDED, NOTHING, ENDED, NOTHING, ENDED, NOTHING, NOTHING, NOTHING];
            assert_eq!(ended_by(key, write).await, one, "{key}: {write}");
        }
    }
}

#[tokio::test]
async fn a_write_that_changes_a_column_of_its_key() {
    let others = {
        let (_database, db) = open_with("").await;
        !tells_what_was_before(&db).await
    };
    let write = "UPDATE lines SET product = 3 WHERE sale = 1 AND product = 1";
    let ended = ended_by("PRIMARY KEY (sale, product)", write).await;
    assert_eq!(ended, [ENDED, NOTHING, ENDED, others, ENDED, NOTHING, NOTHING, NOTHING]);
}

/// One row for each combination of the values, and those are few.
#[tokio::test]
async fn several_values_of_each_column() {
    let parcels = async |condition: &str| {
        let write = format!("UPDATE lines SET note = 'x' WHERE {condition}");
        ended_by("PRIMARY KEY (sale, product)", &write).await.split_off(4)
    };
    let sale = "sale IN (1, 11, 12, 13) AND";
    assert_eq!(parcels("sale = 1 AND product IN (1, 2)").await, [ENDED, ENDED, NOTHING, NOTHING]);
    let four = format!("{sale} product IN (1, 11, 12, 13)");
    assert_eq!(parcels(&four).await, [ENDED, NOTHING, NOTHING, NOTHING]);
    let five = format!("{sale} product IN (1, 11, 12, 13, 14)");
    assert_eq!(parcels(&five).await, [ENDED; 4]);
    assert_eq!(parcels("sale = 1").await, [ENDED; 4]);
    assert_eq!(parcels("sale = 1 AND product <> 2").await, [ENDED; 4]);
}
