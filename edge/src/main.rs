//! `fieldgate`: the edge daemon and the technician's command line.

fn main() {}
