use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::used::Used;
use crate::{Error, Result};

/// A number with where it is from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The number that is used, in the unit that its key ends with.
    pub value: f64,
    /// The least it can be, where it is uncertain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// The most it can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Who published it, and where it stands there.
    pub source: String,
    /// The process and voltage it is for.
    pub process_node: String,
}

impl Number {
    /// The range it lies in, if one is given.
    pub fn range(&self) -> Option<(f64, f64)> {
        (self.low.is_some() || self.high.is_some())
            .then(|| (self.low.unwrap_or(self.value), self.high.unwrap_or(self.value)))
    }
}

/// Writes the sections of a table, and a list of their numbers by dotted key, from one list.
macro_rules! sections {
    ($($(#[$doc:meta])* $section:ident: $type:ident { $($(#[$number_doc:meta])* $number:ident,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
            #[serde(deny_unknown_fields, default)]
            #[allow(clippy::struct_field_names, reason = "a key of a table says its unit")]
            pub struct $type {
                $(
                    $(#[$number_doc])*
                    #[serde(skip_serializing_if = "Option::is_none")]
                    pub $number: Option<Number>,
                )*
            }
        )*

        impl HardwareTable {
            /// All numbers by dotted key, such as `spiking.hop_pj`.
            fn numbers(&self) -> impl Iterator<Item = (&'static str, &Number)> {
                let all = [$($(
                    (
                        concat!(stringify!($section), ".", stringify!($number)),
                        self.$section.$number.as_ref(),
                    ),
                )*)*];
                all.into_iter().filter_map(|(key, number)| Some((key, number?)))
            }
        }
    };
}

/// What operations cost on some hardware: a TOML file. A number that nobody has published is left
/// out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardwareTable {
    /// Its full name.
    pub title: String,
    /// What to know before using it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The built-in table that stands in for what is missing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Energy of single arithmetic operations.
    #[serde(default)]
    pub arithmetic: ArithmeticCosts,
    /// Energy of memory.
    #[serde(default)]
    pub memory: MemoryCosts,
    /// Energy of what a neuromorphic chip does.
    #[serde(default)]
    pub spiking: SpikingCosts,
    /// Time of what a neuromorphic chip does.
    #[serde(default)]
    pub time: SpikingTimes,
    /// How a neuromorphic chip is made up.
    #[serde(default)]
    pub layout: Layout,
}

sections! {
    /// Energy of single arithmetic operations, in picojoules.
    arithmetic: ArithmeticCosts {
        /// Addition of 8-bit integers.
        int8_add_pj,
        /// Multiplication of 8-bit integers.
        int8_mult_pj,
        /// Addition of 32-bit integers.
        int32_add_pj,
        /// Multiplication of 32-bit integers.
        int32_mult_pj,
        /// Addition in half precision.
        fp16_add_pj,
        /// Multiplication in half precision.
        fp16_mult_pj,
        /// Addition in single precision.
        fp32_add_pj,
        /// Multiplication in single precision.
        fp32_mult_pj,
    }
    /// Energy of one access of up to 64 bits, in picojoules.
    memory: MemoryCosts {
        /// To an SRAM of 8 KiB.
        sram_8kib_pj,
        /// To an SRAM of 32 KiB.
        sram_32kib_pj,
        /// To an SRAM of 1 MiB.
        sram_1mib_pj,
        /// To DRAM.
        dram_pj,
    }
    /// Energy of what a neuromorphic chip does, in picojoules.
    spiking: SpikingCosts {
        /// A spike going through one synapse.
        synaptic_event_pj,
        /// One neuron's update in one time step.
        neuron_update_pj,
        /// A spike sent to a core.
        spike_within_tile_pj,
        /// A spike going one tile further.
        hop_pj,
        /// One bit of payload to one core.
        payload_bit_pj,
        /// Leakage of one core in use, in milliwatts.
        static_power_per_core_mw,
    }
    /// Time of what a neuromorphic chip does, in nanoseconds.
    time: SpikingTimes {
        /// A spike going through one synapse; one after the other in a core.
        synaptic_event_ns,
        /// One neuron's update in one time step; one after the other in a core.
        neuron_update_ns,
        /// A spike reaching a core of its own tile.
        spike_within_tile_ns,
        /// A spike going one tile further.
        hop_ns,
        /// The barrier at the end of a time step, where one tile is in use.
        barrier_one_tile_ns,
        /// The barrier where all tiles are in use.
        barrier_all_tiles_ns,
    }
    /// How a neuromorphic chip is made up.
    layout: Layout {
        /// Bits that a spike can carry; 1 is a spike without payload.
        payload_bits,
        /// Neurons that a core holds.
        neurons_per_core,
        /// Cores of a tile.
        cores_per_tile,
        /// Tiles of a chip.
        tiles,
    }
}

const BUILTIN: [(&str, &str); 4] = [
    ("cmos-45nm", include_str!("../hardware/cmos-45nm.toml")),
    ("loihi1", include_str!("../hardware/loihi1.toml")),
    ("loihi2", include_str!("../hardware/loihi2.toml")),
    ("truenorth", include_str!("../hardware/truenorth.toml")),
];

/// A number in use, and the table it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origin {
    /// Name of the table.
    pub table: String,
    /// The number.
    #[serde(flatten)]
    pub number: Number,
}

/// A table with what it falls back on: all numbers that a model may ask for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hardware {
    /// Name of the table.
    pub name: String,
    /// Its full name.
    pub title: String,
    /// What to know before using it.
    pub notes: Option<String>,
    /// The numbers by dotted key.
    pub numbers: BTreeMap<&'static str, Origin>,
}

impl Hardware {
    /// Names of the built-in tables.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILTIN.into_iter().map(|(name, _)| name)
    }

    /// A built-in table: `cmos-45nm`, `loihi1`, `loihi2` or `truenorth`.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn builtin(name: &str) -> Result<Self> {
        let found = BUILTIN.into_iter().find(|(known, _)| *known == name);
        let Some((_, text)) = found else {
            return Err(Error::UnknownHardware {
                name: name.to_owned(),
                known: Self::names().collect(),
            });
        };
        match toml::from_str::<HardwareTable>(text) {
            Ok(table) => Self::new(name, &table),
            Err(error) => unreachable!("{name}, which a test reads: {error}"),
        }
    }

    /// A table of one's own, read from TOML by any reader of serde.
    ///
    /// # Errors
    /// If it falls back on a table that there is not, or a number is negative, not finite, or
    /// outside its own range.
    pub fn new(name: &str, table: &HardwareTable) -> Result<Self> {
        let mut numbers = match &table.fallback {
            Some(fallback) => Self::builtin(fallback)?.numbers,
            None => BTreeMap::new(),
        };
        for (key, number) in table.numbers() {
            let invalid = |reason| Error::InvalidNumber { hardware: name.to_owned(), key, reason };
            let (low, high) = number.range().unwrap_or((number.value, number.value));
            if ![number.value, low, high].into_iter().all(|v| v.is_finite() && v >= 0.0) {
                return Err(invalid("must be finite and at least 0"));
            }
            if !(low..=high).contains(&number.value) {
                return Err(invalid("must lie between its low and its high"));
            }
            if key.starts_with("layout.") && (number.value < 1.0 || number.value.fract() != 0.0) {
                return Err(invalid("must be a whole number, at least 1"));
            }
            numbers.insert(key, Origin { table: name.to_owned(), number: number.clone() });
        }
        let (title, notes) = (table.title.clone(), table.notes.clone());
        Ok(Self { name: name.to_owned(), title, notes, numbers })
    }

    /// The value of a number, if there is one.
    pub fn value(&self, key: &str) -> Option<f64> {
        Some(self.numbers.get(key)?.number.value)
    }

    /// The same with another value for a number that it has.
    #[must_use]
    pub fn with(mut self, key: &str, value: f64) -> Self {
        if let Some(origin) = self.numbers.get_mut(key) {
            origin.number.value = value;
        }
        self
    }

    /// A number that `model` needs.
    pub(crate) fn require(
        &self,
        model: &'static str,
        key: &'static str,
        used: &mut Used,
    ) -> Result<f64> {
        self.optional(key, used).ok_or_else(|| Error::MissingNumber {
            model,
            key,
            hardware: self.name.clone(),
        })
    }

    /// A number whose part is left out where it is missing, which `used` takes note of.
    pub(crate) fn optional(&self, key: &'static str, used: &mut Used) -> Option<f64> {
        let Some(origin) = self.numbers.get(key) else {
            used.left_out.push(key);
            return None;
        };
        if origin.table != self.name {
            used.fallbacks.push(format!("{key} from {}", origin.table));
        }
        Some(origin.number.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_table_is_read_and_every_number_has_a_source() {
        for name in Hardware::names() {
            let hardware = Hardware::builtin(name).unwrap();
            assert!(!hardware.numbers.is_empty());
            for (key, origin) in &hardware.numbers {
                assert!(origin.number.source.len() > 10, "{name}: {key}");
                assert!(!origin.number.process_node.is_empty(), "{name}: {key}");
            }
        }
    }

    #[test]
    fn what_a_table_lacks_comes_from_its_fallback() {
        let loihi2 = Hardware::builtin("loihi2").unwrap();
        assert_eq!(loihi2.value("layout.payload_bits"), Some(32.0));
        assert_eq!(loihi2.numbers["spiking.hop_pj"].table, "loihi1");
        let mut used = Used::default();
        assert_eq!(loihi2.optional("spiking.hop_pj", &mut used), Some(3.5));
        assert_eq!(loihi2.optional("spiking.payload_bit_pj", &mut used), None);
        assert_eq!(used.fallbacks, ["spiking.hop_pj from loihi1"]);
        assert_eq!(used.left_out, ["spiking.payload_bit_pj"]);
    }

    #[test]
    fn unknown_names_and_impossible_numbers_are_refused() {
        let error = Hardware::builtin("loihi").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no hardware `loihi`; there are cmos-45nm, loihi1, loihi2, truenorth"
        );
        let number = |value, low, high| Number {
            value,
            low,
            high,
            source: "a test".into(),
            process_node: "none".into(),
        };
        let table = |hop_pj| HardwareTable {
            title: "mine".into(),
            notes: None,
            fallback: None,
            arithmetic: ArithmeticCosts::default(),
            memory: MemoryCosts::default(),
            spiking: SpikingCosts { hop_pj: Some(hop_pj), ..SpikingCosts::default() },
            time: SpikingTimes::default(),
            layout: Layout::default(),
        };
        assert!(Hardware::new("mine", &table(number(1.0, Some(0.5), None))).is_ok());
        for wrong in [number(-1.0, None, None), number(f64::NAN, None, None)] {
            assert!(Hardware::new("mine", &table(wrong)).is_err());
        }
        let error = Hardware::new("mine", &table(number(1.0, Some(2.0), None))).unwrap_err();
        let expected = "`mine`: spiking.hop_pj must lie between its low and its high";
        assert_eq!(error.to_string(), expected);
    }
}
