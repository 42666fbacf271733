/* `mutated MODEL TRIALS`: files of a model with bytes changed, cut or made longer, through `simseg_model_from_memory`; every model that
   opens all the same segments a picture. Prints how many opened and how many were refused. */
#include "simseg.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 1;

static size_t draw(size_t most)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state >> 33) % most;
}

static unsigned char *read_file(const char *folder, const char *name, size_t *length)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        exit(3);
    *length = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*length);
    if (bytes == NULL || fread(bytes, 1, *length, file) != *length)
        exit(3);
    fclose(file);
    return bytes;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 3;
    const char *names[] = {"config.json", "model.safetensors", "vocab.txt"};
    unsigned char *files[3], rgb[9 * 7 * 3];
    size_t sizes[3], opened = 0, refused = 0, trials = strtoul(argv[2], NULL, 10);
    for (int i = 0; i < 3; i++)
        files[i] = read_file(argv[1], names[i], &sizes[i]);
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (unsigned char)draw(256);
    for (size_t trial = 0; trial < trials; trial++) {
        size_t which = draw(3), length = sizes[which] + draw(3) * draw(9);
        unsigned char *changed = calloc(length, 1);
        memcpy(changed, files[which], sizes[which]);
        /* Most of the weights are values; what can break is the header. */
        size_t reach = length < 4000 ? length : 4000;
        for (size_t i = draw(3) + 1; i > 0; i--)
            changed[draw(reach)] = (unsigned char)draw(256);
        if (draw(4) == 0)
            length = draw(length);
        const unsigned char *given[3] = {files[0], files[1], files[2]};
        size_t lengths[3] = {sizes[0], sizes[1], sizes[2]};
        given[which] = changed;
        lengths[which] = length;
        SimsegModel *model = NULL;
        SimsegStatus status = simseg_model_from_memory(given[0], lengths[0], given[1], lengths[1], given[2], lengths[2], &model);
        if (status == SIMSEG_STATUS_OK) {
            SimsegWords *words = NULL;
            const char *names[] = {"fish"};
            uint16_t labels[9 * 7];
            opened++;
            if (simseg_words_new(model, names, 1, &words) == SIMSEG_STATUS_OK)
                status = simseg_segment(model, words, rgb, 9, 7, 27, labels, 63, NULL, 0);
            simseg_words_free(words);
        } else if (status == SIMSEG_STATUS_INPUT || status == SIMSEG_STATUS_ARGUMENT) {
            refused += *simseg_last_error() != 0;
        }
        if (status == SIMSEG_STATUS_INTERNAL) {
            fprintf(stderr, "trial %zu: %s\n", trial, simseg_last_error());
            return 1;
        }
        simseg_model_free(model);
        free(changed);
    }
    for (int i = 0; i < 3; i++)
        free(files[i]);
    printf("%zu %zu\n", opened, refused);
    return 0;
}
