//! A vendor that answers with far too much must not make the gateway grow.

#[cfg(target_os = "linux")]
mod linux {
    use std::process::Command;

    use clustergate::adapters::CATALOG;
    use clustergate::app::sources;
    use clustergate::provider::{Limits, walk};
    use clustergate::sandbox::Fault;

    use crate::support::Plan;

    const ALONE: &str = "CLUSTERGATE_MEASURES_MEMORY";
    const MOST_BYTES: u64 = 64 << 20;

    /// Memory of this process: the largest that it had so far.
    fn peak() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes << 10
    }

    /// Other tests of this process would be measured as well, so it runs itself with this test alone.
    #[test]
    fn bodies_without_end_cost_little_memory() {
        if std::env::var_os(ALONE).is_some() {
            return measure();
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "memory::linux::bodies_without_end_cost_little_memory",
            ])
            .args(["--nocapture", "--test-threads=1"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let told =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        assert!(told.contains("1 passed"), "{told}");
    }

    #[tokio::main(flavor = "current_thread")]
    async fn measure() {
        let plan = Plan::default();
        let sandbox = plan.sandbox().await;
        let connected = sources(&plan.configs(&sandbox)).unwrap();
        for source in &connected {
            walk(source.provider.as_ref(), Limits::default())
                .await
                .unwrap();
        }
        let before = peak();
        for fault in [
            Fault::HugeBody,
            Fault::GzipBomb,
            Fault::HugeString,
            Fault::DeepNesting,
        ] {
            for (entry, source) in CATALOG.iter().zip(&connected) {
                let vendor = sandbox.vendor(source.name.as_str().parse().unwrap());
                vendor.set_fault(Some(fault));
                let walked = walk(source.provider.as_ref(), Limits::default()).await;
                assert!(walked.is_err(), "{fault} at {}", entry.kind);
                vendor.set_fault(None);
                let grown = peak() - before;
                assert!(
                    grown <= MOST_BYTES,
                    "{fault} at {}: {} MiB more",
                    entry.kind,
                    grown >> 20
                );
            }
        }
    }
}
