//! System tests: real binaries as processes, a real broker, devices that nobody here wrote, and
//! `kill -9` on each of them.

mod bad_input;
mod bad_lines;
mod broker;
mod cli;
mod clocks;
mod coap;
mod coap_blocks;
mod coap_kit;
mod coap_observe;
mod coap_push;
mod coap_requests;
mod devices;
mod firmware_coap;
mod firmware_ethernet;
mod firmware_gateway;
mod firmware_kit;
mod firmware_linux;
mod firmware_modbus;
mod kills;
mod links;
mod peers;
mod rig;
mod sunspec;
mod tenants;
mod wire;
