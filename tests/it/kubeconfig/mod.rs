//! Kubeconfigs: what the API and the command line give, and that a real `kubectl` gets in with it.

mod answers;
mod kubectl;
mod kubernetes;
mod vendor;
