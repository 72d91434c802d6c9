//! What parser threads promise: with executors that do as their source says, so that nothing depends
//! on timing, and with Luau under attack.

mod attacks;
mod random;
mod threads;
