//! How long after one gateway has shown something the others show it.

use std::path::Path;
use std::time::Duration;

use clustergate::store::{Address, Settings};
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout};

use super::load::percentile;
use super::stage::Stage;
use super::{Effort, Verdicts, milliseconds, runtime};

/// The address of a server, of an account that may make databases.
const SERVER: &str = "CLUSTERGATE_TEST_POSTGRES";
const DATABASE: &str = "clustergate_bench";
const PATIENCE: Duration = Duration::from_secs(30);

/// Two gateways over one database; sources are read by either, and one cluster in a hundred changes.
pub(crate) fn measure(effort: Effort, verdicts: &mut Verdicts) {
    let Ok(server) = std::env::var(SERVER) else {
        println!("       SKIPPED: {SERVER} names no PostgreSQL server");
        return;
    };
    let on = runtime("client");
    let address = on.block_on(database(&server));
    let settings = || {
        let address = Address::parse(&address, Path::new("")).expect("an address");
        Some(Settings::at(address))
    };
    let one = Stage::set(effort.clusters, 100, settings(), &on);
    let other = Stage::set(effort.clusters, 100, settings(), &on);
    let mut late: Vec<Duration> = (0..effort.watched * 3)
        .map(|round| lateness(&on, &one, &other, round % 5))
        .collect();
    late.sort_unstable();
    let p99 = percentile(&late, 0.99);
    println!(
        "       {} clusters, {} changes each time: {:.1} ms (p50), {:.1} ms (max), {} times",
        effort.clusters,
        effort.clusters / 5 / 100,
        milliseconds(percentile(&late, 0.5)),
        milliseconds(percentile(&late, 1.0)),
        late.len()
    );
    verdicts.goal(
        p99 <= Duration::from_millis(500),
        &format!(
            "shown by the other gateway after the first shows it, p99: {:.0} ms (goal <= 500)",
            milliseconds(p99)
        ),
    );
    one.stop(&on);
    other.stop(&on);
}

/// A new database at a server.
async fn database(server: &str) -> String {
    let mut connection = PgConnection::connect(server)
        .await
        .expect("the server answers");
    for sql in [
        format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"),
        format!("CREATE DATABASE {DATABASE}"),
    ] {
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        sql.execute(&mut connection).await.expect("it may make one");
    }
    let (address, _) = server.rsplit_once('/').expect("an address with a database");
    format!("{address}/{DATABASE}")
}

/// Has a source read again by whoever reads it; tells how long after the first the second showed it.
fn lateness(on: &Runtime, one: &Stage, other: &Stage, source: usize) -> Duration {
    on.block_on(async {
        let current = |stage: &Stage| stage.gateway.inventory.current().generation;
        let before = current(one).max(current(other));
        // Either of them may be the one that reads it.
        one.touch(source);
        other.touch(source);
        let shown = async |stage: &Stage| {
            let mut generations = stage.gateway.inventory.subscribe();
            let newer = generations.wait_for(|generation| *generation > before);
            let newer = timeout(PATIENCE, newer).await.expect("it is shown");
            newer.expect("the inventory is held here");
            Instant::now()
        };
        one.ask(source);
        let (first, second) = tokio::join!(shown(one), shown(other));
        first.max(second) - first.min(second)
    })
}
