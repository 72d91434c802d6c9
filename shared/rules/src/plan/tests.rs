//! Plans as tables, and what must hold of any plan.

use fieldgate_modbus::register::{Address, ReadRequest, Table};

use super::*;

fn read(table: Table, start: u16, count: u16) -> ReadRequest {
    ReadRequest { table, start, count }
}

fn line(text: &str) -> LinkCost {
    LinkCost::rtu(text.parse().expect(text))
}

/// No gap at all.
fn close() -> ReadRules {
    ReadRules { gap_max: Some(0), ..ReadRules::default() }
}

fn check(
    link: LinkCost,
    rules: &ReadRules,
    holes: &[(u16, u16)],
    (table, wanted): (Table, &[(u16, u16)]),
    expected: &[(u16, u16)],
) -> Cost {
    let reads: Vec<_> = wanted.iter().map(|(start, count)| read(table, *start, *count)).collect();
    let holes = holes.iter().map(|(start, count)| (read(table, *start, *count), 2)).collect();
    let holes = HoleMap { code_by_hole: holes, ..HoleMap::default() };
    let requests = plan(&reads, &PlanOptions { link, rules, holes: &holes });
    assert!(requests.iter().all(|request| request.table == table));
    let planned: Vec<_> = requests.iter().map(|request| (request.start, request.count)).collect();
    assert_eq!(planned, expected, "{wanted:?}");
    link.of_all(&requests)
}

#[test]
fn what_touches_is_one_request() {
    let table = Table::HoldingRegister;
    for (wanted, expected) in [
        (&[][..], &[][..]),
        (&[(0, 2), (2, 1), (3, 4)], &[(0, 7)]),
        (&[(3, 4), (0, 2), (2, 1)], &[(0, 7)]),
        (&[(0, 2), (3, 1)], &[(0, 2), (3, 1)]),
        (&[(0, 4), (1, 2)], &[(0, 4)]),
        (&[(0, 4), (2, 4), (2, 4)], &[(0, 6)]),
        (&[(65_535, 1), (65_533, 2)], &[(65_533, 3)]),
    ] {
        check(LinkCost::tcp(), &close(), &[], (table, wanted), expected);
    }
}

#[test]
fn a_request_ends_at_the_limit_of_the_protocol_and_splits_no_value() {
    let one_by_one = |count| (0..count).map(|start| (start, 1)).collect::<Vec<(u16, u16)>>();
    let count = |table, wanted: &[(u16, u16)]| {
        let reads: Vec<_> =
            wanted.iter().map(|(start, count)| read(table, *start, *count)).collect();
        let (rules, holes) = (close(), HoleMap::default());
        plan(&reads, &PlanOptions { link: LinkCost::tcp(), rules: &rules, holes: &holes }).len()
    };
    assert_eq!(count(Table::InputRegister, &one_by_one(300)), 3);
    assert_eq!(count(Table::Coil, &one_by_one(2001)), 2);
    let pairs: Vec<(u16, u16)> = (0..100).map(|pair| (2 * pair, 2)).collect();
    assert_eq!(count(Table::HoldingRegister, &pairs), 2);
    check(
        LinkCost::tcp(),
        &close(),
        &[],
        (Table::HoldingRegister, &[(0, 125), (100, 125)]),
        &[(0, 125), (100, 125)],
    );
}

#[test]
fn tables_are_never_mixed() {
    let reads = [
        read(Table::HoldingRegister, 0, 1),
        read(Table::InputRegister, 1, 1),
        read(Table::Coil, 0, 1),
        read(Table::DiscreteInput, 1, 1),
    ];
    let (rules, holes) = (ReadRules::default(), HoleMap::default());
    let options = PlanOptions { link: LinkCost::tcp(), rules: &rules, holes: &holes };
    assert_eq!(plan(&reads, &options).len(), 4);
}

/// At 9600 a request of its own costs 13 characters, two silences and the device's thought: 25.8 ms,
/// as much as 12.4 registers. At 115,200 it is 9.6 ms, 55.5 registers; on TCP 60.5.
#[test]
fn a_gap_is_read_where_that_is_cheaper_on_this_line() {
    let table = Table::HoldingRegister;
    let rules = ReadRules::default();
    for (link, last_merged) in [
        (line("9600-8N1"), 12),
        (line("9600-8E1"), 12),
        (line("19200-8N1"), 14),
        (line("115200-8N1"), 55),
        (LinkCost::tcp(), 60),
    ] {
        let within = [(0, 2), (2 + last_merged, 2)];
        check(link, &rules, &[], (table, &within), &[(0, 4 + last_merged)]);
        let beyond = [(0, 2), (3 + last_merged, 2)];
        check(link, &rules, &[], (table, &beyond), &beyond);
    }
    // A byte holds eight coils: 13 characters, silences and thought are as much as 25 bytes.
    let coils = (Table::Coil, &[(0, 1), (190, 1)][..]);
    check(line("9600-8N1"), &rules, &[], coils, &[(0, 191)]);
    let coils = (Table::Coil, &[(0, 1), (260, 1)][..]);
    check(line("9600-8N1"), &rules, &[], coils, &[(0, 1), (260, 1)]);
}

#[test]
fn a_meters_map_costs_what_its_line_takes() {
    // The voltages, currents and powers of a meter, then its energies.
    let meter =
        (Table::InputRegister, &[(0, 2), (2, 2), (4, 2), (12, 2), (52, 2), (72, 2), (74, 2)][..]);
    let rules = ReadRules::default();
    let cost = check(line("9600-8N1"), &rules, &[], meter, &[(0, 14), (52, 2), (72, 4)]);
    assert_eq!(cost, Cost { us: 119_169, bytes: 79 });
    let cost = check(line("9600-8N1"), &close(), &[], meter, &[(0, 6), (12, 2), (52, 2), (72, 4)]);
    assert_eq!(cost, Cost { us: 132_503, bytes: 80 });
    let cost = check(LinkCost::tcp(), &rules, &[], meter, &[(0, 76)]);
    assert_eq!(cost, Cost { us: 10_920, bytes: 173 });
}

#[test]
fn the_profile_has_the_last_word() {
    let table = Table::HoldingRegister;
    let tcp = LinkCost::tcp();
    let default = ReadRules::default();
    let capped = ReadRules { registers_max: 16, ..ReadRules::default() };
    check(tcp, &capped, &[], (table, &[(0, 8), (8, 8), (16, 2)]), &[(0, 8), (8, 10)]);
    // A value is read whole, even where the device should refuse it.
    check(tcp, &capped, &[], (table, &[(0, 2), (2, 20)]), &[(0, 2), (2, 20)]);
    let alone = ReadRules { merge: false, ..ReadRules::default() };
    check(tcp, &alone, &[], (table, &[(0, 1), (1, 1), (1, 1)]), &[(0, 1), (1, 1)]);
    let short = ReadRules { gap_max: Some(2), ..ReadRules::default() };
    check(tcp, &short, &[], (table, &[(0, 1), (3, 1), (7, 1)]), &[(0, 4), (7, 1)]);
    let boundaries = vec![Address { table, offset: 100 }];
    let cut = ReadRules { boundaries, ..ReadRules::default() };
    check(tcp, &cut, &[], (table, &[(98, 2), (100, 2)]), &[(98, 2), (100, 2)]);
    check(tcp, &cut, &[], (table, &[(90, 2), (104, 2)]), &[(90, 2), (104, 2)]);
    check(tcp, &default, &[], (table, &[(98, 2), (100, 2)]), &[(98, 4)]);
}

#[test]
fn a_hole_is_not_read_across_and_what_holds_it_is_not_asked_for() {
    let table = Table::HoldingRegister;
    let (tcp, rules) = (LinkCost::tcp(), ReadRules::default());
    check(tcp, &rules, &[(4, 2)], (table, &[(0, 4), (6, 2)]), &[(0, 4), (6, 2)]);
    check(tcp, &rules, &[(4, 2)], (table, &[(0, 4), (4, 2), (6, 2)]), &[(0, 4), (6, 2)]);
    // A part of the hole may well be answered by itself.
    check(tcp, &rules, &[(4, 2)], (table, &[(3, 1), (4, 2), (4, 1), (6, 2)]), &[(3, 2), (6, 2)]);
    let map = HoleMap { code_by_hole: [(read(table, 4, 2), 2)].into(), ..HoleMap::default() };
    let wanted = [read(table, 3, 4), read(table, 4, 2), read(table, 5, 2)];
    assert_eq!(map.refused(&wanted), [(wanted[0], 2), (wanted[1], 2)]);
    let limited = HoleMap { registers_max: Some(4), ..HoleMap::default() };
    let options = PlanOptions { link: tcp, rules: &rules, holes: &limited };
    let wanted = [read(table, 0, 2), read(table, 2, 2), read(table, 4, 2)];
    assert_eq!(plan(&wanted, &options).len(), 2);
}

/// Numbers from a seed (xorshift64).
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn below(&mut self, bound: u16) -> u16 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u16::try_from(self.0 % u64::from(bound)).expect("below a u16")
    }

    /// A map as makers draw them: values of one to four registers, side by side or with gaps.
    pub(super) fn values(&mut self, table: Table) -> Vec<ReadRequest> {
        let mut start = self.below(40);
        let count = 1 + self.below(60);
        let mut values = Vec::new();
        for _ in 0..count {
            let count = [1, 2, 4][usize::from(self.below(3))];
            values.push(read(table, start, count));
            start += count + if self.below(4) == 0 { self.below(30) } else { 0 };
        }
        values
    }

    fn rules(&mut self) -> ReadRules {
        let table = Table::HoldingRegister;
        let boundary = |seeded: &mut Self| Address { table, offset: seeded.below(300) };
        ReadRules {
            registers_max: [125, 60, 16][usize::from(self.below(3))],
            gap_max: [None, None, Some(0), Some(5)][usize::from(self.below(4))],
            boundaries: (0..self.below(4)).map(|_| boundary(self)).collect(),
            merge: self.below(8) > 0,
            ..ReadRules::default()
        }
    }
}

#[test]
fn any_plan_brings_every_value_once_within_its_limits_and_costs_no_more_than_one_without_gaps() {
    let links = [line("9600-8N1"), line("115200-8E1"), LinkCost::tcp()];
    for seed in 1..=400 {
        let mut seeded = Seeded(seed * 0x9E37_79B9);
        let wanted = seeded.values(Table::HoldingRegister);
        let rules = seeded.rules();
        let mut holes = HoleMap::default();
        for _ in 0..seeded.below(6) {
            let hole = read(Table::HoldingRegister, seeded.below(300), 1 + seeded.below(4));
            holes.code_by_hole.insert(hole, 2);
        }
        let link = links[usize::from(seeded.below(3))];
        let requests = plan(&wanted, &PlanOptions { link, rules: &rules, holes: &holes });
        for want in &wanted {
            let by = requests.iter().filter(|request| holds(**request, *want)).count();
            assert_eq!(by, usize::from(holes.within(*want).is_none()), "seed {seed}: {want:?}");
        }
        for request in &requests {
            let is_value = wanted.contains(request);
            assert!(request.count <= rules.registers_max || is_value, "seed {seed}: {request:?}");
            assert_eq!(holes.within(*request), None, "seed {seed}: {request:?}");
            let crosses =
                |cut: &Address| request.start < cut.offset && u32::from(cut.offset) < end(*request);
            assert!(is_value || !rules.boundaries.iter().any(crosses), "seed {seed}: {request:?}");
        }
        let near = ReadRules { gap_max: Some(0), ..rules.clone() };
        let near = plan(&wanted, &PlanOptions { link, rules: &near, holes: &holes });
        assert!(link.of_all(&requests) <= link.of_all(&near), "seed {seed}");
    }
}
