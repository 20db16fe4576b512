/*
 * Two workers share a list of jobs: render the tiles of a picture, each exactly once.
 *
 * It usually works. Now and then it ends with `tile N was rendered 2 times` and exit status 1. It reads no clock, no
 * random numbers and no addresses, so nothing but the moment at which the kernel switches from one worker to the other
 * decides which of the two happens.
 *
 *   record --tries 50 --until-fail -- /demos/race
 *
 * Something to try on the recording: find the last write to `next_tile` before the first tile was rendered again.
 *
 * The bug: take_tile() reads `next_tile`, looks the tile up, and only then stores the new value; nothing keeps the
 * other worker out in between. A worker that is switched away from just there wakes up later with an old tile number,
 * hands it out a second time, and puts `next_tile` back to where it was many tiles ago. The lock that would prevent it
 * is there, a few lines above, but guards only the totals.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

enum {
    TILES = 8000,
    TILE_PIXELS = 256,
    COLORS = 16,
    WORKERS = 2,
};

/* Where a tile lies in the picture, and how it is to be drawn. */
struct tile {
    int number;
    int x, y;
    uint32_t colors[COLORS];
};

static pthread_mutex_t totals_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t total_brightness;
static int tiles_rendered;

static volatile int next_tile;
static unsigned char times_rendered[TILES];

/* Mixes the bits of a number so that neighbours differ. */
static uint32_t mix(uint32_t value)
{
    value = (value ^ (value >> 15)) * 0x2c1b3c6du;
    value = (value ^ (value >> 12)) * 0x297a2d39u;
    return value ^ (value >> 15);
}

/* Fills in what has to be known about a tile before it can be drawn. */
static void look_up(struct tile *tile, int number)
{
    tile->number = number;
    tile->x = number % 100;
    tile->y = number / 100;
    for (int i = 0; i < COLORS; i++)
        tile->colors[i] = mix((uint32_t)(number * COLORS + i));
}

/* Takes the next tile of the list. Returns 0 when none is left. */
static int take_tile(struct tile *tile)
{
    int number = next_tile;

    if (number >= TILES)
        return 0;
    look_up(tile, number);
    next_tile = number + 1;
    return 1;
}

/* Draws one tile and returns its brightness. */
static uint32_t render(const struct tile *tile)
{
    uint32_t brightness = 0;

    for (int pixel = 0; pixel < TILE_PIXELS; pixel++) {
        uint32_t color = tile->colors[pixel % COLORS] + (uint32_t)(tile->x * pixel + tile->y);
        for (int layer = 0; layer < 4; layer++)
            color = mix(color + (uint32_t)layer);
        brightness += color & 0xff;
    }
    return brightness;
}

static void *work(void *unused)
{
    struct tile tile;

    (void)unused;
    while (take_tile(&tile)) {
        uint32_t brightness = render(&tile);

        times_rendered[tile.number]++;
        pthread_mutex_lock(&totals_lock);
        total_brightness += brightness;
        tiles_rendered++;
        pthread_mutex_unlock(&totals_lock);
    }
    return NULL;
}

int main(void)
{
    pthread_t workers[WORKERS];

    for (int i = 0; i < WORKERS; i++) {
        if (pthread_create(&workers[i], NULL, work, NULL) != 0) {
            perror("can't start a worker");
            return 2;
        }
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);

    for (int i = 0; i < TILES; i++) {
        if (times_rendered[i] != 1) {
            printf("tile %d was rendered %d times (%d tiles in all, expected %d)\n", i, times_rendered[i],
                   tiles_rendered, TILES);
            return 1;
        }
    }
    printf("ok: %d tiles, brightness %llu\n", tiles_rendered, (unsigned long long)total_brightness);
    return 0;
}
