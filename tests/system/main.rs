//! System tests: real binaries as processes, real brokers and devices that nobody here wrote.

fn main() {}
