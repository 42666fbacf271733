//! Every step of the tour runs to its end, checks included.

#[path = "01_tensor.rs"]
mod tensor;
#[path = "02_gradient.rs"]
mod gradient;
#[path = "03_encoder.rs"]
mod encoder;
#[path = "04_loda.rs"]
mod loda;
#[path = "05_nce.rs"]
mod nce;
#[path = "06_segment.rs"]
mod segment;

#[test]
fn tensors_contract_broadcast_and_select() {
    tensor::main().unwrap();
}

#[test]
fn gradients_are_slopes() {
    gradient::main().unwrap();
}

#[test]
fn an_encoder_turns_patches_into_tokens() {
    encoder::main().unwrap();
}

#[test]
fn loda_counts_what_the_mean_outweighs() {
    loda::main().unwrap();
}

#[test]
fn the_loss_falls_when_pairs_come_together() {
    nce::main().unwrap();
}

#[test]
fn words_become_masks() {
    segment::main().unwrap();
}
