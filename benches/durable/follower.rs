//! Two gateways over one PostgreSQL: how much later than the one that read a source the other shows it.
//!
//! `CLUSTERGATE_TEST_POSTGRES` is the address of a server, of an account that may make databases; without it nothing is measured.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clustergate::inventory::Inventory;
use clustergate::store::{Address, Settings};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::{Instant, timeout};

use super::load::percentile;
use super::stage::Stage;
use super::{Effort, Verdicts, milliseconds, runtime};

/// A database of its own.
const DATABASE: &str = "clustergate_bench_follower";
/// How long a generation is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// A source of the fleet, of whose clusters one in a hundred changes each time.
const SOURCE: usize = 1;

pub(crate) fn measure(effort: Effort, verdicts: &mut Verdicts) {
    let Ok(server) = std::env::var("CLUSTERGATE_TEST_POSTGRES") else {
        println!(
            "  SKIPPED, there is no PostgreSQL server to measure with: CLUSTERGATE_TEST_POSTGRES names none"
        );
        return;
    };
    let on = runtime("client");
    let begun = [
        format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"),
        format!("CREATE DATABASE {DATABASE}"),
    ];
    on.block_on(tell(&server, &begun));
    let (host, _) = server
        .rsplit_once('/')
        .expect("the address names a database");
    let address = Address::parse(&format!("{host}/{DATABASE}"), Path::new(""));
    let settings = Settings::at(address.expect("the address of a server"));
    let clusters = effort.clusters / 5;
    let one = Stage::set(clusters, 100, Some(settings.clone()), &on);
    let other = Stage::set(clusters, 100, Some(settings), &on);
    let (mut late, mut whole) = (Vec::new(), Vec::new());
    on.block_on(async {
        for _ in 0..effort.followed {
            let (told, took) = publish(&one, &other).await;
            late.push(told);
            whole.push(took);
        }
    });
    one.stop(&on);
    other.stop(&on);
    on.block_on(tell(&server, &begun[..1]));
    late.sort_unstable();
    whole.sort_unstable();
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| milliseconds(percentile(&late, part)));
    println!(
        "       {} of {clusters} clusters changed, from the wish until both gateways show it: {:.0} ms (p50), {:.0} ms (p99), {} times",
        clusters / 5 / 100,
        milliseconds(percentile(&whole, 0.5)),
        milliseconds(percentile(&whole, 0.99)),
        effort.followed
    );
    verdicts.goal(
        p99 <= 1_000.0,
        &format!(
            "shown by the other gateway after the one that read it: {p50:.1} ms (p50), {p99:.1} ms (p99), {max:.1} ms (max) (goal: p99 <= 1000)"
        ),
    );
}

/// Changes the source for both gateways, of which one reads it. Tells how much later the slower one showed it, and how long it took
/// from the wish on.
async fn publish(one: &Stage, other: &Stage) -> (Duration, Duration) {
    let stages = [one, other];
    let before = stages.map(|stage| stage.gateway.inventory.current().generation);
    let last = before.into_iter().max().unwrap_or_default();
    let seen = stages.map(|stage| tokio::spawn(seen(&stage.gateway.inventory, last)));
    for stage in stages {
        stage.touch(SOURCE);
    }
    let begun = Instant::now();
    one.ask(SOURCE);
    let mut times = Vec::new();
    for seen in seen {
        times.push(seen.await.expect("it is waited for"));
    }
    times.sort_unstable();
    (times[1] - times[0], times[1] - begun)
}

/// Waits for a generation above this one.
fn seen(inventory: &Arc<Inventory>, last: u64) -> impl Future<Output = Instant> + use<> {
    let mut generations = inventory.subscribe();
    async move {
        let newer = generations.wait_for(|generation| *generation > last);
        let newer = timeout(PATIENCE, newer).await.expect("it is told in time");
        newer.expect("the inventory is held by its gateway");
        Instant::now()
    }
}

async fn tell(server: &str, statements: &[String]) {
    let mut connection = PgConnection::connect(server).await.expect("a server");
    for statement in statements {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement.clone()));
        statement
            .execute(&mut connection)
            .await
            .expect("an account that may make databases");
    }
    connection.close().await.expect("the server is there");
}
