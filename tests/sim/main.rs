//! Simulation: every machine of `shared/` in one process, over a bad network and bad disks, one
//! seed a world.

use fieldgate_model::Position;

#[test]
fn positions_count_from_zero_in_each_incarnation() {
    assert_eq!(Position::default(), Position(0));
}
