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
#[path = "07_train_three.rs"]
mod train_three;
#[path = "08_crf.rs"]
mod crf;
#[path = "09_word_swap.rs"]
mod word_swap;
#[path = "10_write_a_backend.rs"]
mod write_a_backend;

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

#[test]
fn loda_points_at_objects_where_dense_does_not() {
    train_three::main().unwrap();
}

#[test]
fn a_crf_moves_a_mask_onto_an_edge() {
    crf::main().unwrap();
}

#[test]
fn a_swapped_word_costs_a_score_that_comes_from_the_object() {
    word_swap::main().unwrap();
}

#[test]
fn another_backend_gives_the_same_numbers_and_a_wrong_one_is_found_out() {
    write_a_backend::main().unwrap();
}
