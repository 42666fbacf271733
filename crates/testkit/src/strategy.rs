//! Random programs for proptest.

use crate::choice::{Choice, STEPS};
use crate::program::Program;
use proptest::prelude::*;

/// Programs of up to `most` steps. Shrinking leaves out choices and lowers their numbers, and every such list is a program.
pub fn programs(most: usize) -> impl Strategy<Value = Program> {
    let choice = (0..STEPS, any::<u8>(), any::<[u8; 6]>());
    let choice = choice.prop_map(|(step, operand, numbers)| Choice { step, operand, numbers });
    prop::collection::vec(choice, 1..=most).prop_map(|choices| Program::read(&choices))
}
