//! The `clustergate` command.

fn main() {}
