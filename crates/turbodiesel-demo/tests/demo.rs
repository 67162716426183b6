//! The whole demo, small and short.

use clap::Parser;
use tokio_util::sync::CancellationToken;
use turbodiesel_demo::{Interrupted, Options, Report, run};

async fn demo(arguments: &[&str]) -> anyhow::Result<Report> {
    let small = ["turbodiesel-demo", "--duration", "1", "--rows", "2000", "--clients", "4"];
    let options = Options::parse_from(small.iter().chain(arguments));
    run(&options, &CancellationToken::new()).await
}

fn assert_all_is_well(report: &Report) {
    let text = report.text();
    assert_eq!(report.wrong_answers(), 0, "{text}");
    assert_eq!(report.failed_requests(), 0, "{text}");
    assert!(report.checks() > 0, "{text}");
    assert!(report.is_as_it_must_be(), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_right_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("figures.json");
    let report = demo(&["--json", json.to_str().unwrap()]).await.unwrap();
    assert_all_is_well(&report);

    let figures: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(figures["wrong_answers"], 0);
    assert!(figures["facts"]["machine"]["cpus"].as_u64() > Some(0));
    let statements_per_request =
        |contender: &str| figures[contender]["statements_per_request"].as_f64().unwrap();
    assert!(statements_per_request("turbodiesel") < statements_per_request("diesel_async"));
    assert!(statements_per_request("turbodiesel") > 0.0);
    assert!(figures["turbodiesel"]["hit_rates"]["l3"].as_f64() > Some(0.5), "{figures:#}");
    assert!(figures["diesel_async"]["hit_rates"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_right_on_postgres_which_is_left_as_it_was() {
    use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

    let database = turbodiesel_testkit::database();
    assert_all_is_well(&demo(&["--database-url", database.url()]).await.unwrap());

    let mut connection = AsyncPgConnection::establish(database.url()).await.unwrap();
    let left: i64 = diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(
        "(SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'turbodiesel_demo%')",
    ))
    .get_result(&mut connection)
    .await
    .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_fault_is_found() {
    let report = demo(&["--plant-fault"]).await.unwrap();
    assert!(report.wrong_answers() > 0, "{}", report.text());
    assert!(report.is_as_it_must_be(), "{}", report.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_demo_ends_at_once() {
    let options = Options::parse_from(["turbodiesel-demo", "--duration", "3600"]);
    let interrupt = CancellationToken::new();
    let demo = run(&options, &interrupt);
    interrupt.cancel();
    assert!(demo.await.unwrap_err().is::<Interrupted>());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let url = "postgres://nobody@%2Fno%2Fsuch%2Ffolder/none";
    let error = demo(&["--database-url", url]).await.unwrap_err();
    assert!(format!("{error:#}").starts_with("cannot connect to PostgreSQL"), "{error:#}");
}
