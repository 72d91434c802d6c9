//! Which point of a model lies where.
//!
//! # Invariants
//!
//! - No point that is placed goes beyond the model's end.
//! - What could not be placed is named in a [`Gap`].

use std::collections::BTreeSet;
use std::fmt;

use super::model::{Count, GroupSpec, ModelSpec, PointKind, PointScale, PointSpec};

/// Standings of groups in a model: as many as there are registers.
const STANDINGS_MAX: usize = 1 << 16;

/// The points of a model at their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout<'m> {
    /// In the order of their registers, without padding.
    pub points: Vec<PlacedPoint<'m>>,
    /// What has no place.
    pub gaps: Vec<Gap>,
}

/// A point at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedPoint<'m> {
    /// Its name behind those of the groups around it and their numbers from 1: `Crv_1_Pt_2_V`.
    pub path: String,
    /// Registers from the model's id to it.
    pub offset: u16,
    /// Its definition.
    pub point: &'m PointSpec,
    /// The power of ten of its value.
    pub scale: PlacedScale,
}

/// The power of ten of a placed point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacedScale {
    /// None.
    One,
    /// This one.
    Power(i8),
    /// The value of the placed point of this path.
    Point(String),
}

/// What of a definition has no place in a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// How often the group stands there is known to the device alone.
    Repeating {
        /// The group's path.
        group: String,
    },
    /// The device's model ends before this point.
    Beyond {
        /// The point's path.
        path: String,
    },
    /// The scale factor that the point names is not in its group nor in one around it.
    NoScale {
        /// The point's path.
        path: String,
        /// The name of the scale factor.
        scale: String,
    },
    /// The device does not implement the scale factor (0x8000): the number is the value.
    Unscaled {
        /// The point's path.
        path: String,
        /// The path of the scale factor.
        scale: String,
    },
    /// It repeats more often than a device has registers.
    Endless {
        /// The group's path.
        group: String,
    },
    /// The device's model goes on behind the last point of the definition.
    Leftover {
        /// How far.
        registers: u16,
    },
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeating { group } => {
                write!(f, "group `{group}` repeats as often as the device says")
            }
            Self::Beyond { path } => write!(f, "the model ends before `{path}`"),
            Self::NoScale { path, scale } => {
                write!(f, "`{path}` is scaled by `{scale}`, which is not there")
            }
            Self::Unscaled { path, scale } => {
                write!(f, "the device has no `{scale}`, so the number of `{path}` is its value")
            }
            Self::Endless { group } => {
                write!(f, "group `{group}` repeats more often than a device has registers")
            }
            Self::Leftover { registers } => {
                write!(f, "{registers} registers lie behind the last point of the definition")
            }
        }
    }
}

/// Places the points of `model`; `words` are its registers from its id on, if a device gave them:
/// without them a group that the device counts has no place.
pub fn lay_out<'m>(model: &'m ModelSpec, words: Option<&[u16]>) -> Layout<'m> {
    let mut placing = Placing { words, at: 0, standings: 0, points: Vec::new(), gaps: Vec::new() };
    placing.group(&model.group, "", &mut Vec::new());
    placing.drop_factors();
    if let Some(words) = words
        && let Some(rest) = words.len().checked_sub(placing.at).filter(|rest| *rest > 0)
    {
        placing.gaps.push(Gap::Leftover { registers: u16::try_from(rest).unwrap_or(u16::MAX) });
    }
    Layout { points: placing.points, gaps: placing.gaps }
}

struct Placing<'m, 'w> {
    words: Option<&'w [u16]>,
    at: usize,
    /// Standings of groups so far: those without points never reach the end of the registers.
    standings: usize,
    points: Vec<PlacedPoint<'m>>,
    gaps: Vec<Gap>,
}

impl<'m> Placing<'m, '_> {
    /// Places one standing of a group; `around` are the prefixes and definitions of those around.
    fn group(
        &mut self,
        group: &'m GroupSpec,
        prefix: &str,
        around: &mut Vec<(String, &'m GroupSpec)>,
    ) {
        around.push((prefix.to_owned(), group));
        for point in &group.points {
            self.point(point, prefix, around);
        }
        for inner in &group.groups {
            let path = format!("{prefix}{}", inner.name);
            let Some(times) = self.times(inner) else {
                self.gaps.push(Gap::Repeating { group: path });
                // What lies behind a group of unknown length lies at an unknown place.
                break;
            };
            for number in 1..=times {
                if self.is_over() {
                    break;
                }
                self.standings += 1;
                if self.standings > STANDINGS_MAX {
                    // One gap says it for the groups around it too.
                    if self.standings == STANDINGS_MAX + 1 {
                        self.gaps.push(Gap::Endless { group: path.clone() });
                    }
                    break;
                }
                let numbered = inner.count != Count::Fixed(1);
                let prefix =
                    if numbered { format!("{path}_{number}_") } else { format!("{path}_") };
                self.group(inner, &prefix, around);
            }
        }
        around.pop();
    }

    fn point(&mut self, point: &'m PointSpec, prefix: &str, around: &[(String, &'m GroupSpec)]) {
        let at = self.at;
        let end = at + usize::from(point.registers);
        let path = format!("{prefix}{}", point.name);
        if end > self.words.map_or(1 << 16, <[u16]>::len) {
            // One gap says it for all that would come behind.
            if !self.is_over() && point.kind != PointKind::Pad {
                self.gaps.push(Gap::Beyond { path });
            }
            self.at = end;
            return;
        }
        self.at = end;
        if point.kind == PointKind::Pad {
            return;
        }
        let scale = match &point.scale {
            PointScale::One => PlacedScale::One,
            PointScale::Power(power) => PlacedScale::Power(*power),
            PointScale::Point(name) => {
                let found = scale_path(name, around);
                if found.is_none() {
                    let (path, scale) = (path.clone(), name.clone());
                    self.gaps.push(Gap::NoScale { path, scale });
                }
                found.map_or(PlacedScale::One, PlacedScale::Point)
            }
        };
        let offset = u16::try_from(at).unwrap_or(u16::MAX);
        self.points.push(PlacedPoint { path, offset, point, scale });
    }

    /// Takes scale factors away that the device says it does not have, as the Alliance's own tools
    /// do; they may lie behind what they scale.
    fn drop_factors(&mut self) {
        let Some(words) = self.words else { return };
        let missing: BTreeSet<String> = self
            .points
            .iter()
            .filter(|placed| placed.point.kind == PointKind::ScaleFactor)
            .filter(|placed| words.get(usize::from(placed.offset)) == Some(&0x8000))
            .map(|placed| placed.path.clone())
            .collect();
        for placed in &mut self.points {
            let PlacedScale::Point(scale) = &placed.scale else { continue };
            if missing.contains(scale) {
                let (path, scale) = (placed.path.clone(), scale.clone());
                self.gaps.push(Gap::Unscaled { path, scale });
                placed.scale = PlacedScale::One;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.at > self.words.map_or(1 << 16, <[u16]>::len)
    }

    /// How often a group stands there; `None` if only the device could say it.
    fn times(&self, group: &GroupSpec) -> Option<u16> {
        match &group.count {
            Count::Fixed(times) => Some(*times),
            Count::Point(name) => {
                let placed = self.points.iter().find(|placed| placed.path == *name)?;
                let counted = *self.words?.get(usize::from(placed.offset))?;
                let counted = if counted == 0xFFFF { 0 } else { counted };
                Some(counted)
            }
            Count::ToEnd => {
                let left = self.words?.len().saturating_sub(self.at);
                let times = left.checked_div(fixed_registers(group)?)?;
                u16::try_from(times).ok()
            }
        }
    }
}

/// How many registers one standing of the group takes, if that is fixed.
fn fixed_registers(group: &GroupSpec) -> Option<usize> {
    let points: usize = group.points.iter().map(|point| usize::from(point.registers)).sum();
    group.groups.iter().try_fold(points, |sum, inner| match inner.count {
        Count::Fixed(times) => {
            let registers = usize::from(times).saturating_mul(fixed_registers(inner)?);
            Some(sum.saturating_add(registers))
        }
        Count::Point(_) | Count::ToEnd => None,
    })
}

/// The path of the scale factor of this name that is nearest: of the same group, or one around.
fn scale_path(name: &str, around: &[(String, &GroupSpec)]) -> Option<String> {
    let holds = |group: &GroupSpec| group.points.iter().any(|point| point.name == name);
    let found = around.iter().rev().find(|(_, group)| holds(group));
    found.map(|(prefix, _)| format!("{prefix}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(name: &str, kind: PointKind, scale: &str) -> PointSpec {
        PointSpec {
            name: name.to_owned(),
            title: String::new(),
            kind,
            registers: kind.registers().unwrap_or(4),
            scale: match scale {
                "" => PointScale::One,
                name => PointScale::Point(name.to_owned()),
            },
            unit: String::new(),
            symbols: Vec::new(),
            is_writable: false,
        }
    }

    /// `count` times two pairs of a number and a text behind a header with scale factors.
    fn model(count: Count) -> ModelSpec {
        let pair = GroupSpec {
            name: "Pt".to_owned(),
            count: Count::Point("NPt".to_owned()),
            points: vec![
                point("V", PointKind::Int16, "V_SF"),
                point("Own", PointKind::Int16, "Own_SF"),
            ],
            groups: Vec::new(),
        };
        let curve = GroupSpec {
            name: "Crv".to_owned(),
            count,
            points: vec![
                point("Own_SF", PointKind::ScaleFactor, ""),
                point("Pad", PointKind::Pad, ""),
            ],
            groups: vec![pair],
        };
        let points = vec![
            point("ID", PointKind::Uint16, ""),
            point("L", PointKind::Uint16, ""),
            point("NCrv", PointKind::Count, ""),
            point("NPt", PointKind::Count, ""),
            point("V_SF", PointKind::ScaleFactor, ""),
        ];
        let name = "curves".to_owned();
        let group = GroupSpec { name, count: Count::Fixed(1), points, groups: vec![curve] };
        ModelSpec { id: 705, group }
    }

    #[test]
    fn groups_stand_as_often_as_the_device_says_and_scale_by_the_nearest_factor() {
        let model = model(Count::Point("NCrv".to_owned()));
        let words = [705, 11, 2, 1, 0xFFFF, 0, 0, 10, 20, 1, 0, 30, 40];
        let layout = lay_out(&model, Some(&words));
        assert_eq!(layout.gaps, []);
        let placed: Vec<_> = layout
            .points
            .iter()
            .skip(5)
            .map(|placed| (placed.path.as_str(), placed.offset, placed.scale.clone()))
            .collect();
        let scaled = |path: &str| PlacedScale::Point(path.to_owned());
        assert_eq!(
            placed,
            [
                ("Crv_1_Own_SF", 5, PlacedScale::One),
                ("Crv_1_Pt_1_V", 7, scaled("V_SF")),
                ("Crv_1_Pt_1_Own", 8, scaled("Crv_1_Own_SF")),
                ("Crv_2_Own_SF", 9, PlacedScale::One),
                ("Crv_2_Pt_1_V", 11, scaled("V_SF")),
                ("Crv_2_Pt_1_Own", 12, scaled("Crv_2_Own_SF")),
            ]
        );
    }

    #[test]
    fn without_a_device_what_it_counts_has_no_place_and_is_named() {
        let model = model(Count::Point("NCrv".to_owned()));
        let layout = lay_out(&model, None);
        assert_eq!(layout.points.len(), 5);
        assert_eq!(layout.gaps, [Gap::Repeating { group: "Crv".to_owned() }]);
    }

    #[test]
    fn a_device_that_counts_more_than_it_has_places_nothing_beyond_its_end() {
        let model = model(Count::Point("NCrv".to_owned()));
        let words = [705, 5, 0xFFFE, 0xFFFE, 0, 0, 0, 10];
        let layout = lay_out(&model, Some(&words));
        let last = layout.points.last().expect("there are some");
        assert_eq!((last.path.as_str(), last.offset), ("Crv_1_Pt_1_V", 7));
        assert_eq!(layout.gaps, [Gap::Beyond { path: "Crv_1_Pt_1_Own".to_owned() }]);
    }

    #[test]
    fn a_scale_factor_that_the_device_does_not_have_scales_nothing() {
        let model = model(Count::Point("NCrv".to_owned()));
        let layout = lay_out(&model, Some(&[705, 7, 1, 1, 0x8000, 0, 0, 10, 20]));
        let scaled: Vec<_> =
            layout.points.iter().filter(|placed| placed.scale != PlacedScale::One).collect();
        assert_eq!(scaled.len(), 1, "{scaled:?}");
        let (path, scale) = ("Crv_1_Pt_1_V".to_owned(), "V_SF".to_owned());
        assert_eq!(layout.gaps, [Gap::Unscaled { path, scale }]);
    }

    #[test]
    fn groups_without_points_come_to_an_end() {
        let group = |groups: Vec<GroupSpec>| {
            let (name, count) = ("g".to_owned(), Count::Fixed(u16::MAX));
            GroupSpec { name, count, points: Vec::new(), groups }
        };
        let nested = (0..6).fold(group(Vec::new()), |inner, _| group(vec![inner]));
        let model = ModelSpec { id: 1, group: nested };
        let layout = lay_out(&model, None);
        assert_eq!(layout.points, []);
        assert!(matches!(layout.gaps[..], [Gap::Endless { .. }]), "{:?}", layout.gaps);
        let to_end = GroupSpec { count: Count::ToEnd, ..model.group };
        let model = ModelSpec { id: 1, group: group(vec![to_end]) };
        assert_eq!(lay_out(&model, Some(&[1, 2])).points, []);
    }

    #[test]
    fn what_lies_behind_the_definition_is_named() {
        let model = model(Count::Fixed(0));
        let layout = lay_out(&model, Some(&[705, 6, 0, 0, 0, 1, 2, 3]));
        assert_eq!(layout.gaps, [Gap::Leftover { registers: 3 }]);
    }
}
