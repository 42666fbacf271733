/* simseg from C. Made from crates/capi/src/lib.rs; do not edit. */

#ifndef SIMSEG_H
#define SIMSEG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/*
 Raised when a function changes what it takes or means.
 */
#define SIMSEG_ABI 1

/*
 The label of a pixel that no class claims, in lists without a background.
 */
#define SIMSEG_UNCLAIMED UINT16_MAX

/*
 How a call ended.
 */
typedef enum SimsegStatus {
  /*
   Done.
   */
  SIMSEG_STATUS_OK = 0,
  /*
   A pointer is null that must not be, a text is not UTF-8, or a size does not fit.
   */
  SIMSEG_STATUS_ARGUMENT = 1,
  /*
   A file, a word or a picture is not what it should be.
   */
  SIMSEG_STATUS_INPUT = 2,
  /*
   A fault of this library.
   */
  SIMSEG_STATUS_INTERNAL = 3,
} SimsegStatus;

/*
 A model: a network, its vocabulary, and the recipe by which it segments. Several threads may use one, and its words, at the same time.
 */
typedef struct SimsegModel SimsegModel;

/*
 Classes: words that a model has embedded, for this model only.
 */
typedef struct SimsegWords SimsegWords;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The version of this interface that the library has: compare it with `SIMSEG_ABI` of the header.
 */
uint32_t simseg_abi(void);

/*
 What went wrong in the last call of this thread that returns a status or is `simseg_memory`; empty if nothing did. Valid until the next such call.
 */
const char *simseg_last_error(void);

/*
 Opens a model directory. The model is to be freed by `simseg_model_free`.

 # Safety
 `folder` is a text that ends with a zero byte; `out` can be written.
 */
enum SimsegStatus simseg_model_open(const char *folder, struct SimsegModel **out);

/*
 Opens a model from the bytes of its files `config.json`, `model.safetensors`, and `vocab.txt` or `tokenizer.json`. They are copied.

 # Safety
 Each pointer can be read for as many bytes as are said; `out` can be written.
 */
enum SimsegStatus simseg_model_from_memory(const uint8_t *config,
                                           uintptr_t config_len,
                                           const uint8_t *weights,
                                           uintptr_t weights_len,
                                           const uint8_t *vocabulary,
                                           uintptr_t vocabulary_len,
                                           struct SimsegModel **out);

/*
 Limits the memory that a call of `simseg_segment` may take, weights included, in bytes: a picture that may need more is then refused with
 `SIMSEG_STATUS_INPUT` before anything is asked for. Embedding words is no part of it, and calls at the same time on several threads take as much
 each. A limit that the weights alone exceed is refused, and the model stays as it was; `SIZE_MAX` lifts it. How much freed memory waits to be used
 again follows the limit, too: one number for the whole process, that of the latest call.

 # Safety
 `model` came from this library, and no other thread uses it during this call.
 */
enum SimsegStatus simseg_model_limit_memory(struct SimsegModel *model,
                                            uintptr_t bytes);

/*
 Frees a model; null is allowed. Its words stay, but can't be used any more except to be freed.

 # Safety
 `model` is null or came from this library, and is not used again.
 */
void simseg_model_free(struct SimsegModel *model);

/*
 Embeds `count` words, one class each, such as `"cat"` or `"cat | kitten"`. Class 0 is the background: it is put in front unless the first
 word is `background`. To be freed by `simseg_words_free`.

 # Safety
 `model` came from this library; `words` can be read for `count` texts, each of which ends with a zero byte; `out` can be written.
 */
enum SimsegStatus simseg_words_new(const struct SimsegModel *model, const char *const *words, uintptr_t count, struct SimsegWords **out);

/*
 How many classes there are, the background included; 0 for null.

 # Safety
 `words` is null or came from this library.
 */
uintptr_t simseg_words_count(const struct SimsegWords *words);

/*
 The first word of a class; null if there is no such class. Valid as long as the words.

 # Safety
 `words` is null or came from this library.
 */
const char *simseg_words_name(const struct SimsegWords *words, uintptr_t class_);

/*
 Frees words; null is allowed.

 # Safety
 `words` is null or came from this library, and is not used again.
 */
void simseg_words_free(struct SimsegWords *words);

/*
 How many bytes `simseg_segment` needs at most for a picture of `width` × `height` pixels with these words, weights included; the picture and the
 caller's buffers are not counted. 0 if a pointer is null or the size is none that a picture may have.

 # Safety
 `model` and `words` are null or came from this library.
 */
uintptr_t simseg_memory(const struct SimsegModel *model,
                        const struct SimsegWords *words,
                        uintptr_t width,
                        uintptr_t height);

/*
 Segments a picture of `width` × `height` pixels of three bytes (red, green, blue); a row starts `stride` bytes after the one above it.
 Writes a class for each pixel to `labels`, row after row without gaps: a number below `simseg_words_count`, or `SIMSEG_UNCLAIMED`.
 Unless it is null, `scores` gets the score of each class for the whole picture, `scores_len` being their number.

 # Safety
 `model` and `words` came from this library. `rgb` can be read for `stride·(height − 1) + 3·width` bytes, which nothing changes until the
 call returns (where `stride` is `3·width` they are read in place, without a copy). `labels` can be written for `labels_len` values,
 `scores` is null or can be written for `scores_len` values; neither overlaps `rgb`.
 */
enum SimsegStatus simseg_segment(const struct SimsegModel *model,
                                 const struct SimsegWords *words,
                                 const uint8_t *rgb,
                                 uintptr_t width,
                                 uintptr_t height,
                                 uintptr_t stride,
                                 uint16_t *labels,
                                 uintptr_t labels_len,
                                 float *scores,
                                 uintptr_t scores_len);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SIMSEG_H */
