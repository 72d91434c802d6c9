//! Definitions that the binary carries: the common model, inverters and meters.
//!
//! Names, types, scale factors and units as in the definitions that the `SunSpec` Alliance publishes
//! (github.com/sunspec/models, Apache-2.0). Points stand one behind the other without padding of
//! their own; each is `name:type[:scale factor[:unit]]`, text with its number of registers.

use super::model::{Count, GroupSpec, ModelSpec, PointKind, PointScale, PointSpec};

/// What stands before the points of every model.
const HEADER: &str = "ID:uint16 L:uint16";

/// Model 1.
const COMMON: &str = "\
    Mn:string16 Md:string16 Opt:string8 Vr:string8 SN:string16 DA:uint16 Pad:pad";

/// Models 101 to 103.
const INVERTER: &str = "\
    A:uint16:A_SF:A AphA:uint16:A_SF:A AphB:uint16:A_SF:A AphC:uint16:A_SF:A A_SF:sunssf \
    PPVphAB:uint16:V_SF:V PPVphBC:uint16:V_SF:V PPVphCA:uint16:V_SF:V PhVphA:uint16:V_SF:V \
    PhVphB:uint16:V_SF:V PhVphC:uint16:V_SF:V V_SF:sunssf W:int16:W_SF:W W_SF:sunssf \
    Hz:uint16:Hz_SF:Hz Hz_SF:sunssf VA:int16:VA_SF:VA VA_SF:sunssf VAr:int16:VAr_SF:var \
    VAr_SF:sunssf PF:int16:PF_SF:Pct PF_SF:sunssf WH:acc32:WH_SF:Wh WH_SF:sunssf \
    DCA:uint16:DCA_SF:A DCA_SF:sunssf DCV:uint16:DCV_SF:V DCV_SF:sunssf DCW:int16:DCW_SF:W \
    DCW_SF:sunssf TmpCab:int16:Tmp_SF:C TmpSnk:int16:Tmp_SF:C TmpTrns:int16:Tmp_SF:C \
    TmpOt:int16:Tmp_SF:C Tmp_SF:sunssf St:enum16 StVnd:enum16 Evt1:bitfield32 Evt2:bitfield32 \
    EvtVnd1:bitfield32 EvtVnd2:bitfield32 EvtVnd3:bitfield32 EvtVnd4:bitfield32";

/// Models 111 to 113.
const INVERTER_FLOAT: &str = "\
    A:float32:-:A AphA:float32:-:A AphB:float32:-:A AphC:float32:-:A PPVphAB:float32:-:V \
    PPVphBC:float32:-:V PPVphCA:float32:-:V PhVphA:float32:-:V PhVphB:float32:-:V \
    PhVphC:float32:-:V W:float32:-:W Hz:float32:-:Hz VA:float32:-:VA VAr:float32:-:var \
    PF:float32:-:Pct WH:float32:-:Wh DCA:float32:-:A DCV:float32:-:V DCW:float32:-:W \
    TmpCab:float32:-:C TmpSnk:float32:-:C TmpTrns:float32:-:C TmpOt:float32:-:C St:enum16 \
    StVnd:enum16 Evt1:bitfield32 Evt2:bitfield32 EvtVnd1:bitfield32 EvtVnd2:bitfield32 \
    EvtVnd3:bitfield32 EvtVnd4:bitfield32";

/// Models 202 to 204; 201 differs in three names.
const METER: &str = "\
    A:int16:A_SF:A AphA:int16:A_SF:A AphB:int16:A_SF:A AphC:int16:A_SF:A A_SF:sunssf \
    PhV:int16:V_SF:V PhVphA:int16:V_SF:V PhVphB:int16:V_SF:V PhVphC:int16:V_SF:V \
    PPV:int16:V_SF:V PhVphAB:int16:V_SF:V PhVphBC:int16:V_SF:V PhVphCA:int16:V_SF:V \
    V_SF:sunssf Hz:int16:Hz_SF:Hz Hz_SF:sunssf W:int16:W_SF:W WphA:int16:W_SF:W \
    WphB:int16:W_SF:W WphC:int16:W_SF:W W_SF:sunssf VA:int16:VA_SF:VA VAphA:int16:VA_SF:VA \
    VAphB:int16:VA_SF:VA VAphC:int16:VA_SF:VA VA_SF:sunssf VAR:int16:VAR_SF:var \
    VARphA:int16:VAR_SF:var VARphB:int16:VAR_SF:var VARphC:int16:VAR_SF:var VAR_SF:sunssf \
    PF:int16:PF_SF:Pct PFphA:int16:PF_SF:Pct PFphB:int16:PF_SF:Pct PFphC:int16:PF_SF:Pct \
    PF_SF:sunssf TotWhExp:acc32:TotWh_SF:Wh TotWhExpPhA:acc32:TotWh_SF:Wh \
    TotWhExpPhB:acc32:TotWh_SF:Wh TotWhExpPhC:acc32:TotWh_SF:Wh TotWhImp:acc32:TotWh_SF:Wh \
    TotWhImpPhA:acc32:TotWh_SF:Wh TotWhImpPhB:acc32:TotWh_SF:Wh TotWhImpPhC:acc32:TotWh_SF:Wh \
    TotWh_SF:sunssf TotVAhExp:acc32:TotVAh_SF:VAh TotVAhExpPhA:acc32:TotVAh_SF:VAh \
    TotVAhExpPhB:acc32:TotVAh_SF:VAh TotVAhExpPhC:acc32:TotVAh_SF:VAh \
    TotVAhImp:acc32:TotVAh_SF:VAh TotVAhImpPhA:acc32:TotVAh_SF:VAh \
    TotVAhImpPhB:acc32:TotVAh_SF:VAh TotVAhImpPhC:acc32:TotVAh_SF:VAh TotVAh_SF:sunssf \
    TotVArhImpQ1:acc32:TotVArh_SF:varh TotVArhImpQ1PhA:acc32:TotVArh_SF:varh \
    TotVArhImpQ1PhB:acc32:TotVArh_SF:varh TotVArhImpQ1PhC:acc32:TotVArh_SF:varh \
    TotVArhImpQ2:acc32:TotVArh_SF:varh TotVArhImpQ2PhA:acc32:TotVArh_SF:varh \
    TotVArhImpQ2PhB:acc32:TotVArh_SF:varh TotVArhImpQ2PhC:acc32:TotVArh_SF:varh \
    TotVArhExpQ3:acc32:TotVArh_SF:varh TotVArhExpQ3PhA:acc32:TotVArh_SF:varh \
    TotVArhExpQ3PhB:acc32:TotVArh_SF:varh TotVArhExpQ3PhC:acc32:TotVArh_SF:varh \
    TotVArhExpQ4:acc32:TotVArh_SF:varh TotVArhExpQ4PhA:acc32:TotVArh_SF:varh \
    TotVArhExpQ4PhB:acc32:TotVArh_SF:varh TotVArhExpQ4PhC:acc32:TotVArh_SF:varh \
    TotVArh_SF:sunssf Evt:bitfield32";

/// Models 211 to 214.
const METER_FLOAT: &str = "\
    A:float32:-:A AphA:float32:-:A AphB:float32:-:A AphC:float32:-:A PhV:float32:-:V \
    PhVphA:float32:-:V PhVphB:float32:-:V PhVphC:float32:-:V PPV:float32:-:V \
    PPVphAB:float32:-:V PPVphBC:float32:-:V PPVphCA:float32:-:V Hz:float32:-:Hz W:float32:-:W \
    WphA:float32:-:W WphB:float32:-:W WphC:float32:-:W VA:float32:-:VA VAphA:float32:-:VA \
    VAphB:float32:-:VA VAphC:float32:-:VA VAR:float32:-:var VARphA:float32:-:var \
    VARphB:float32:-:var VARphC:float32:-:var PF:float32:-:PF PFphA:float32:-:PF \
    PFphB:float32:-:PF PFphC:float32:-:PF TotWhExp:float32:-:Wh TotWhExpPhA:float32:-:Wh \
    TotWhExpPhB:float32:-:Wh TotWhExpPhC:float32:-:Wh TotWhImp:float32:-:Wh \
    TotWhImpPhA:float32:-:Wh TotWhImpPhB:float32:-:Wh TotWhImpPhC:float32:-:Wh \
    TotVAhExp:float32:-:VAh TotVAhExpPhA:float32:-:VAh TotVAhExpPhB:float32:-:VAh \
    TotVAhExpPhC:float32:-:VAh TotVAhImp:float32:-:VAh TotVAhImpPhA:float32:-:VAh \
    TotVAhImpPhB:float32:-:VAh TotVAhImpPhC:float32:-:VAh TotVArhImpQ1:float32:-:varh \
    TotVArhImpQ1phA:float32:-:varh TotVArhImpQ1phB:float32:-:varh \
    TotVArhImpQ1phC:float32:-:varh TotVArhImpQ2:float32:-:varh TotVArhImpQ2phA:float32:-:varh \
    TotVArhImpQ2phB:float32:-:varh TotVArhImpQ2phC:float32:-:varh TotVArhExpQ3:float32:-:varh \
    TotVArhExpQ3phA:float32:-:varh TotVArhExpQ3phB:float32:-:varh \
    TotVArhExpQ3phC:float32:-:varh TotVArhExpQ4:float32:-:varh TotVArhExpQ4phA:float32:-:varh \
    TotVArhExpQ4phB:float32:-:varh TotVArhExpQ4phC:float32:-:varh Evt:bitfield32";

/// Id, name and points of the models.
const MODELS: [(u16, &str, &str); 15] = [
    (1, "common", COMMON),
    (101, "inverter_single_phase", INVERTER),
    (102, "inverter_split_phase", INVERTER),
    (103, "inverter_three_phase", INVERTER),
    (111, "inverter_single_phase_float", INVERTER_FLOAT),
    (112, "inverter_split_phase_float", INVERTER_FLOAT),
    (113, "inverter_three_phase_float", INVERTER_FLOAT),
    (201, "ac_meter_an_or_ab", METER),
    (202, "ac_meter_abn", METER),
    (203, "ac_meter_abcn", METER),
    (204, "ac_meter_abc", METER),
    (211, "ac_meter_an_or_ab_float", METER_FLOAT),
    (212, "ac_meter_abn_float", METER_FLOAT),
    (213, "ac_meter_abcn_float", METER_FLOAT),
    (214, "ac_meter_abc_float", METER_FLOAT),
];

/// What the state `St` of an inverter can be.
const INVERTER_STATES: [&str; 8] =
    ["off", "sleeping", "starting", "mppt", "throttled", "shutting_down", "fault", "standby"];

/// The ids that [`known`] has.
pub fn known_ids() -> impl Iterator<Item = u16> {
    MODELS.iter().map(|(id, _, _)| *id)
}

/// The definition of this id, if the binary carries it.
pub fn known(id: u16) -> Option<ModelSpec> {
    let (_, name, points) = MODELS.iter().find(|(known, _, _)| *known == id)?;
    // The single-phase meter names the voltages between phases as the inverters do.
    let points = if id == 201 {
        points
            .replace("PhVphAB", "PPVphAB")
            .replace("PhVphBC", "PPVphBC")
            .replace("PhVphCA", "PPVphCA")
    } else {
        (*points).to_owned()
    };
    let points = HEADER.split_whitespace().chain(points.split_whitespace());
    let group = GroupSpec {
        name: (*name).to_owned(),
        count: Count::Fixed(1),
        points: points.map(point).collect(),
        groups: Vec::new(),
    };
    Some(ModelSpec { id, group })
}

fn point(text: &str) -> PointSpec {
    let mut parts = text.split(':').map(|part| if part == "-" { "" } else { part });
    let mut next = || parts.next().unwrap_or_default();
    let (name, kind, scale, unit) = (next(), next(), next(), next());
    let (kind, length) = match kind.strip_prefix("string") {
        Some(length) => ("string", length.parse().ok()),
        None => (kind, None),
    };
    let kind = PointKind::from_name(kind).expect("a constant that is a type");
    let scale =
        if scale.is_empty() { PointScale::One } else { PointScale::Point(scale.to_owned()) };
    let symbols = if name == "St" {
        (1..).zip(INVERTER_STATES).map(|(state, name)| (state, name.to_owned())).collect()
    } else {
        Vec::new()
    };
    PointSpec {
        name: name.to_owned(),
        title: String::new(),
        kind,
        registers: kind.registers().or(length).expect("a constant with a length"),
        scale,
        unit: unit.to_owned(),
        symbols,
        is_writable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::lay_out;
    use super::*;

    #[test]
    fn every_definition_is_as_long_as_the_specification_says() {
        for (id, length) in [
            (1, 66),
            (101, 50),
            (102, 50),
            (103, 50),
            (111, 60),
            (112, 60),
            (113, 60),
            (201, 105),
            (202, 105),
            (203, 105),
            (204, 105),
            (211, 124),
            (212, 124),
            (213, 124),
            (214, 124),
        ] {
            let model = known(id).expect("it is carried");
            let registers: u16 = model.group.points.iter().map(|point| point.registers).sum();
            assert_eq!(registers, length + 2, "model {id}");
            assert_eq!(lay_out(&model, None).gaps, [], "model {id}");
        }
        assert_eq!(known_ids().count(), 15);
        assert_eq!(known(705), None);
    }
}
