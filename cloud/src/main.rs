//! `fieldgate-cloud`: the cloud service and the operator's command line.

fn main() {}
