//! The same over a PostgreSQL server: `CLUSTERGATE_TEST_POSTGRES` is the address of one, of an account that may make databases.
//! Without it these tests are skipped and pass; with `CLUSTERGATE_REQUIRE_POSTGRES` they fail.

use std::path::Path;

use clustergate::store::{Address, Settings};
use sqlx::{Connection as _, PgConnection};

use super::configured::{comes_and_goes, is_rolled_out};
use super::restart::survives;
use super::resumed::follows;

/// The address of a database of its own, or nothing where there is no server and none is required.
pub(crate) async fn database(name: &str) -> Option<String> {
    let Ok(server) = std::env::var("CLUSTERGATE_TEST_POSTGRES") else {
        assert!(
            std::env::var_os("CLUSTERGATE_REQUIRE_POSTGRES").is_none(),
            "a PostgreSQL server is required: CLUSTERGATE_TEST_POSTGRES names none"
        );
        #[expect(clippy::print_stderr, reason = "a test that was skipped must say so")]
        {
            eprintln!(
                "SKIPPED, there is no PostgreSQL server to test with: CLUSTERGATE_TEST_POSTGRES names none"
            );
        }
        return None;
    };
    let mut connection = PgConnection::connect(&server).await.unwrap();
    for sql in [
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name}"),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
    let (address, _) = server.rsplit_once('/').unwrap();
    Some(format!("{address}/{name}"))
}

#[tokio::test]
async fn a_restart_over_a_server_shows_all_there_was() {
    if let Some(address) = database("clustergate_restart").await {
        let shared = Settings::at(Address::parse(&address, Path::new("")).unwrap());
        assert!(shared.shared.is_some());
        survives(&shared).await;
    }
}

#[tokio::test]
async fn a_restart_over_a_server_of_one_gateway_alone_shows_all_there_was() {
    if let Some(address) = database("clustergate_restart_alone").await {
        let alone = Settings {
            shared: None,
            ..Settings::at(Address::parse(&address, Path::new("")).unwrap())
        };
        survives(&alone).await;
    }
}

#[tokio::test]
async fn a_restart_over_a_server_is_no_reason_to_list_anew() {
    if let Some(address) = database("clustergate_resumed").await {
        let shared = Settings::at(Address::parse(&address, Path::new("")).unwrap());
        assert!(shared.shared.is_some());
        follows(&shared).await;
    }
}

#[tokio::test]
async fn a_restart_over_a_server_of_one_gateway_alone_is_no_reason_to_list_anew() {
    if let Some(address) = database("clustergate_resumed_alone").await {
        let alone = Settings {
            shared: None,
            ..Settings::at(Address::parse(&address, Path::new("")).unwrap())
        };
        follows(&alone).await;
    }
}

#[tokio::test]
async fn sources_come_and_go_with_the_configuration_over_a_server() {
    if let Some(address) = database("clustergate_configured").await {
        comes_and_goes(&Settings::at(
            Address::parse(&address, Path::new("")).unwrap(),
        ))
        .await;
    }
}

#[tokio::test]
async fn a_source_is_gone_when_no_gateway_has_it_any_more() {
    if let Some(address) = database("clustergate_rolled_out").await {
        is_rolled_out(&Settings::at(
            Address::parse(&address, Path::new("")).unwrap(),
        ))
        .await;
    }
}
