/* Uses all of simseg.h as a program would, and misuses it as one might: `segment MODEL RGB WIDTH HEIGHT WORD...` prints the label map's
   numbers. RGB is a file of width*height*3 bytes. */
#include "simseg.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect(int held, const char *what)
{
    if (!held) {
        fprintf(stderr, "%s; last error: %s\n", what, simseg_last_error());
        exit(1);
    }
}

static unsigned char *read_file(const char *folder, const char *name, size_t *length)
{
    char path[4096];
    snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", name);
    FILE *file = fopen(path, "rb");
    expect(file != NULL && fseek(file, 0, SEEK_END) == 0, path);
    *length = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*length + 1);
    expect(bytes != NULL && fread(bytes, 1, *length, file) == *length, path);
    fclose(file);
    return bytes;
}

int main(int argc, char **argv)
{
    expect(argc > 5, "usage: segment MODEL RGB WIDTH HEIGHT WORD...");
    expect(simseg_abi() == SIMSEG_ABI, "the header is of another version than the library");
    size_t width = strtoul(argv[3], NULL, 10), height = strtoul(argv[4], NULL, 10), length;
    unsigned char *rgb = read_file("", argv[2], &length);
    expect(length == 3 * width * height, "RGB has another size");

    /* Not null: a call that fails has to leave nothing that could be freed. */
    SimsegModel *model = (SimsegModel *)argv, *again = (SimsegModel *)argv;
    expect(simseg_model_open("no such folder", &model) == SIMSEG_STATUS_INPUT && model == NULL, "opened what is not there");
    expect(strstr(simseg_last_error(), "no such folder") != NULL, "an error that names no file");
    expect(simseg_model_open(NULL, &model) == SIMSEG_STATUS_ARGUMENT && simseg_model_open(argv[1], NULL) == SIMSEG_STATUS_ARGUMENT, "null");
    expect(simseg_model_open(argv[1], &model) == SIMSEG_STATUS_OK && model != NULL, "open");
    expect(*simseg_last_error() == 0, "an error after what went well");

    /* The same model from memory. */
    size_t sizes[3];
    unsigned char *config = read_file(argv[1], "config.json", &sizes[0]);
    unsigned char *weights = read_file(argv[1], "model.safetensors", &sizes[1]);
    unsigned char *vocabulary = read_file(argv[1], "vocab.txt", &sizes[2]);
    expect(simseg_model_from_memory(config, sizes[0], weights, sizes[1] / 2, vocabulary, sizes[2], &again) == SIMSEG_STATUS_INPUT && again == NULL,
           "half the weights");
    expect(simseg_model_from_memory(config, sizes[0], weights, sizes[1], vocabulary, sizes[2], &again) == SIMSEG_STATUS_OK, "from memory");
    free(config);
    free(weights);
    free(vocabulary);

    const char *const *names = (const char *const *)(argv + 5);
    size_t count = (size_t)(argc - 5);
    SimsegWords *words = NULL, *others = NULL;
    const char *twice[] = {"fish", "fish"}, *broken[] = {"\xff\xfe"};
    expect(simseg_words_new(model, twice, 2, &others) == SIMSEG_STATUS_INPUT && others == NULL, "a word that occurs twice");
    others = (SimsegWords *)argv;
    expect(simseg_words_new(model, broken, 1, &others) == SIMSEG_STATUS_ARGUMENT && others == NULL, "no UTF-8");
    const char *lines[] = {"cat\ndog"}, *blank[] = {"cat", ""};
    expect(simseg_words_new(model, lines, 1, &others) == SIMSEG_STATUS_INPUT && others == NULL, "a line break is no second class");
    expect(simseg_words_new(model, blank, 2, &others) == SIMSEG_STATUS_INPUT && others == NULL, "an empty word");
    expect(simseg_words_new(model, names, count, &words) == SIMSEG_STATUS_OK && simseg_words_new(again, names, count, &others) == SIMSEG_STATUS_OK, "words");
    size_t classes = simseg_words_count(words);
    expect(classes >= count && strcmp(simseg_words_name(words, 0), "background") == 0, "the background comes first");
    expect(simseg_words_name(words, classes) == NULL && simseg_words_count(NULL) == 0, "no such class");

    /* A row in the caller's memory may be longer than the picture's. */
    size_t stride = 3 * width + 5;
    unsigned char *padded = calloc(height, stride);
    for (size_t y = 0; y < height; y++)
        memcpy(padded + y * stride, rgb + y * 3 * width, 3 * width);
    uint16_t *labels = malloc(width * height * sizeof *labels), *same = malloc(width * height * sizeof *same);
    float *scores = malloc(classes * sizeof *scores);
    expect(simseg_segment(model, words, rgb, width, height, 3 * width, labels, width * height - 1, NULL, 0) == SIMSEG_STATUS_ARGUMENT, "a short buffer");
    expect(simseg_segment(model, words, rgb, width, height, 3 * width - 1, labels, width * height, NULL, 0) == SIMSEG_STATUS_ARGUMENT, "rows overlap");
    expect(simseg_segment(model, words, rgb, SIZE_MAX / 2, 3, SIZE_MAX, labels, width * height, NULL, 0) == SIMSEG_STATUS_ARGUMENT, "an overflow");
    expect(simseg_segment(model, words, rgb, 0, 0, 0, labels, 0, NULL, 0) == SIMSEG_STATUS_ARGUMENT, "no pixels");
    expect(simseg_segment(model, words, NULL, width, height, 3 * width, labels, width * height, NULL, 0) == SIMSEG_STATUS_ARGUMENT, "null");
    expect(simseg_segment(model, words, rgb, width, height, 3 * width, labels, width * height, scores, classes + 1) == SIMSEG_STATUS_ARGUMENT, "scores");
    expect(simseg_segment(model, words, rgb, width, height, 3 * width, labels, width * height, scores, classes) == SIMSEG_STATUS_OK, "segment");
    expect(simseg_segment(again, others, padded, width, height, stride, same, width * height, NULL, 0) == SIMSEG_STATUS_OK, "segment");
    expect(memcmp(labels, same, width * height * sizeof *labels) == 0, "a file and memory, rows side by side and apart: the same labels");

    /* A limit on memory: what fits goes through as before, what may not fit is refused with the reason. */
    size_t needed = simseg_memory(model, words, width, height);
    expect(needed > 0 && simseg_memory(model, words, 20 * width, 20 * height) > needed, "a larger picture needs more memory");
    expect(simseg_memory(NULL, words, width, height) == 0 && simseg_memory(model, words, 0, height) == 0, "null, or no pixels");
    expect(simseg_model_limit_memory(NULL, needed) == SIMSEG_STATUS_ARGUMENT, "null");
    expect(simseg_model_limit_memory(again, 1) == SIMSEG_STATUS_INPUT && strstr(simseg_last_error(), "weights alone") != NULL, "a limit below the weights");
    expect(simseg_model_limit_memory(again, needed) == SIMSEG_STATUS_OK, "limit");
    expect(simseg_segment(again, others, rgb, width, height, 3 * width, same, width * height, NULL, 0) == SIMSEG_STATUS_OK, "what fits");
    expect(memcmp(labels, same, width * height * sizeof *labels) == 0, "a limit changes no label");
    unsigned char *large = calloc(20 * height, 60 * width);
    uint16_t *many = malloc(400 * width * height * sizeof *many);
    expect(large != NULL && many != NULL, "memory of the test itself");
    expect(simseg_segment(again, others, large, 20 * width, 20 * height, 60 * width, many, 400 * width * height, NULL, 0) == SIMSEG_STATUS_INPUT, "beyond");
    expect(strstr(simseg_last_error(), "the memory limit is") != NULL, "why");
    free(large);
    free(many);

    for (size_t i = 0; i < width * height; i++)
        printf("%u\n", (unsigned)labels[i]);
    for (size_t class = 0; class < classes; class++)
        fprintf(stderr, "%s %.9g\n", simseg_words_name(words, class), (double)scores[class]);
    simseg_words_free(words);
    simseg_words_free(others);
    simseg_words_free(NULL);
    simseg_model_free(model);
    simseg_model_free(again);
    simseg_model_free(NULL);
    free(padded);
    free(rgb);
    free(labels);
    free(same);
    free(scores);
    return 0;
}
