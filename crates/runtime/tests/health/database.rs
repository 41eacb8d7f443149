//! PostgreSQL.

use tokio_postgres::NoTls;

use super::Checked;
use super::server::{PASSWORD, Server};

fn url(server: &Server, sslmode: &str) -> String {
    format!("postgresql://app:{PASSWORD}@localhost:{}/postgres?schema=public&sslmode={sslmode}", server.port)
}

#[tokio::test]
async fn a_database_that_ends_gates_after_three_failures_and_its_return_is_noticed() {
    let mut server = Server::postgres();
    let checked =
        Checked::start("database", &url(&server, "verify-full"), &["--tls-ca-file", &server.ca()]).await;
    checked.up("database").await;
    checked.ready().await;

    // Many checks later there is still one connection, and it is encrypted.
    tokio::time::sleep(std::time::Duration::from_millis(5 * super::EVERY_MS)).await;
    let (client, connection) =
        tokio_postgres::connect(&url(&server, "disable").replace("schema=public&", ""), NoTls).await.unwrap();
    let watching = tokio::spawn(connection);
    let query = "SELECT backend_start, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
                 WHERE application_name = 'goodgo-runtime'";
    let rows = client.query(&query.replace("backend_start", "backend_start::text"), &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].get::<_, bool>(1));
    drop(client);
    watching.await.unwrap().unwrap();

    server.stop();
    let down = checked.unready("database").await;
    assert_eq!((&down["status"], &down["required"]), (&"down".into(), &true.into()));
    assert!(down["failuresInARow"].as_u64() >= Some(3), "{down}");
    server.start();
    checked.ready().await;
    checked.up("database").await;
    checked.running.stop().await;
}

#[tokio::test]
async fn sslmode_decides_about_tls_and_a_changed_url_is_read_again() {
    let server = Server::postgres();
    let checked = Checked::start("database", &url(&server, "disable"), &[]).await;
    checked.up("database").await;
    // Its certificate is not signed by anybody that this runtime knows.
    for mode in ["require", "verify-full"] {
        checked.put("database", &url(&server, mode));
        checked.says("database", "certificate").await;
        checked.put("database", &url(&server, "prefer"));
        checked.up("database").await;
    }
    checked.put("database", &url(&server, "prefer").replace(PASSWORD, "wrong-secret"));
    checked.says("database", "password authentication failed").await;
    checked.unready("database").await;
    checked.put("database", "postgresql://app:wrong-secret@localhost:port/x");
    checked.says("database", "failed to understand the mounted URL").await;
    checked.put("database", &url(&server, "prefer"));
    checked.ready().await;

    let with_ca =
        Checked::start("database", &url(&server, "require"), &["--tls-ca-file", &server.ca()]).await;
    with_ca.up("database").await;
    // The certificate is for localhost alone.
    with_ca.put("database", &url(&server, "verify-full").replace("localhost", "127.0.0.1"));
    with_ca.says("database", "certificate").await;
    checked.running.stop().await;
    with_ca.running.stop().await;
}
