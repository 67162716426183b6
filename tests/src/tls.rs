//! TLS as `sslmode` means it, against a server with a certificate of its own.

use std::path::PathBuf;

use diesel_async::RunQueryDsl;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use turbodiesel::{Db, Error};
use turbodiesel_testkit::{Postgres, PostgresOptions, ServerTls};

/// A server whose certificate is for `name`, and the root that signed it.
fn server(name: &str) -> (Postgres, Root) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let tls = ServerTls { certificate: certificate.pem(), key: key.serialize_pem() };
    let options = PostgresOptions { tcp: true, tls: Some(tls), ..PostgresOptions::default() };
    let server = Postgres::with(options).unwrap();
    let path = server.folder().with_extension("root.pem");
    std::fs::write(&path, authority.pem()).unwrap();
    (server, Root(path))
}

/// The root's file, removed when the test ends.
struct Root(PathBuf);

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether the session is encrypted.
async fn connect(url: String) -> Result<bool, Error> {
    let db = Db::builder().url(url).build().await?;
    let encrypted = diesel::dsl::sql::<diesel::sql_types::Bool>(
        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    )
    .get_result(&mut &db)
    .await;
    Ok(encrypted.unwrap())
}

#[tokio::test]
async fn every_mode_against_the_right_name() {
    let (server, root) = server("localhost");
    let url = server.url().replace("127.0.0.1", "localhost");
    let root = root.0.display();
    let of = |parameters: &str| connect(format!("{url}?{parameters}"));
    assert!(!of("sslmode=disable").await.unwrap());
    assert!(of("").await.unwrap(), "preferred");
    assert!(of("sslmode=require").await.unwrap());
    assert!(of(&format!("sslmode=verify-ca&sslrootcert={root}")).await.unwrap());
    assert!(of(&format!("sslmode=verify-full&sslrootcert={root}")).await.unwrap());
    // Without the root, the system's do not know the authority.
    for mode in ["verify-ca", "verify-full"] {
        let error = of(&format!("sslmode={mode}")).await.unwrap_err();
        assert!(error.is_connect() || error.is_configuration(), "{error}");
    }
}

#[tokio::test]
async fn another_name_or_another_root() {
    let (server, root) = server("db.example.org");
    let (_other, wrong) = self::server("localhost");
    let url = server.url().replace("127.0.0.1", "localhost");
    let of = |mode: &str, root: &Root| {
        connect(format!("{url}?sslmode={mode}&sslrootcert={}", root.0.display()))
    };
    assert!(of("verify-ca", &root).await.unwrap(), "the name does not matter");
    let error = of("verify-full", &root).await.unwrap_err();
    assert!(error.is_connect(), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = of(mode, &wrong).await.unwrap_err();
        assert!(error.is_connect(), "{mode}: {error}");
    }
}

#[tokio::test]
async fn a_server_without_tls() {
    let server =
        Postgres::with(PostgresOptions { tcp: true, ..PostgresOptions::default() }).unwrap();
    assert!(!connect(server.url()).await.unwrap(), "preferred, but not to be had");
    let error = connect(format!("{}?sslmode=require", server.url())).await.unwrap_err();
    assert!(error.is_connect());
    assert!(error.to_string().contains("TLS"), "{error}");
}
