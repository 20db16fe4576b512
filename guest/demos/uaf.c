/*
 * A web cache keeps its pages in a hash table and counts which page leads to which.
 *
 * It usually works, and sometimes crashes: the table's hash is keyed with random bytes, as it should be, so that
 * nobody can choose pages that collide. Which pages collide is therefore another matter in every run.
 *
 *   record --tries 50 --until-fail -- /demos/uaf
 *
 * Something to try on the recording: from the crash, go back to where the memory that `parent` points to went away.
 *
 * The bug: follow_link() keeps a pointer into the table while it adds another page. When that page finds no free place
 * near its own, the table grows: it moves to new memory, and the old memory is freed, with `parent` still pointing
 * into it. The fix is to look the parent up again, or to keep its index.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    SLOTS_AT_FIRST = 2048,
    PROBES_MAX = 13, /* a page lies at most this far from the place that its hash names */
    PAGES = 1000,
    NAME_BYTES = 48,
};

struct page {
    char name[NAME_BYTES]; /* empty: a free slot */
    uint64_t hash;
    uint32_t visits;
    uint32_t links_out;
    char best_link[NAME_BYTES];
};

struct cache {
    uint64_t key[2];
    struct page *slots;
    size_t slot_count; /* a power of two */
    size_t pages;
};

/* A keyed hash of a name. */
static uint64_t hash_name(const struct cache *cache, const char *name)
{
    uint64_t a = cache->key[0], b = cache->key[1];

    for (; *name != 0; name++) {
        a = (a ^ (unsigned char)*name) * 0x9e3779b97f4a7c15u;
        a = (a << 29) | (a >> 35);
        b = (b + a) * 0xd6e8feb86659fd93u;
        b ^= b >> 32;
    }
    return a ^ b;
}

/* Finds a page's slot, or a free one for it. Returns NULL when all slots near its place are taken. */
static struct page *find_slot(const struct cache *cache, const char *name, uint64_t hash)
{
    for (size_t probe = 0; probe < PROBES_MAX; probe++) {
        struct page *page = &cache->slots[(hash + probe) & (cache->slot_count - 1)];
        if (page->name[0] == 0 || (page->hash == hash && strcmp(page->name, name) == 0))
            return page;
    }
    return NULL;
}

/* Gives the table twice as many slots, or more when that is not enough, and moves every page to its new place. */
static void grow(struct cache *cache)
{
    struct page *old_slots = cache->slots;
    size_t old_count = cache->slot_count;
    int all_moved = 0;

    while (!all_moved) {
        cache->slot_count *= 2;
        cache->slots = calloc(cache->slot_count, sizeof *cache->slots);
        if (cache->slots == NULL)
            abort();
        all_moved = 1;
        for (size_t i = 0; i < old_count && all_moved; i++) {
            if (old_slots[i].name[0] != 0) {
                struct page *place = find_slot(cache, old_slots[i].name, old_slots[i].hash);
                all_moved = place != NULL;
                if (all_moved)
                    *place = old_slots[i];
            }
        }
        if (!all_moved)
            free(cache->slots);
    }
    free(old_slots);
}

/* The page of this name, which is added if it is new. */
static struct page *find_page(struct cache *cache, const char *name)
{
    uint64_t hash = hash_name(cache, name);
    struct page *page = find_slot(cache, name, hash);

    while (page == NULL) {
        grow(cache);
        page = find_slot(cache, name, hash);
    }
    if (page->name[0] == 0) {
        snprintf(page->name, sizeof page->name, "%s", name);
        page->hash = hash;
        cache->pages++;
    }
    return page;
}

/* Notes that a visitor went from one page to another. */
static void follow_link(struct cache *cache, const char *from, const char *to)
{
    struct page *parent = find_page(cache, from);
    struct page *child = find_page(cache, to);

    child->visits++;
    parent->links_out++;
    if (child->visits > 1)
        snprintf(parent->best_link, sizeof parent->best_link, "%s", to);
}

int main(void)
{
    struct cache cache = { .slot_count = SLOTS_AT_FIRST };
    uint32_t links = 0;

    if (getrandom(cache.key, sizeof cache.key, 0) != sizeof cache.key) {
        perror("no random key");
        return 2;
    }
    cache.slots = calloc(cache.slot_count, sizeof *cache.slots);
    if (cache.slots == NULL)
        abort();

    find_page(&cache, "/index.html");
    for (int number = 1; number < PAGES; number++) {
        char from[NAME_BYTES], to[NAME_BYTES];
        if (number < 10)
            snprintf(from, sizeof from, "/index.html");
        else
            snprintf(from, sizeof from, "/articles/%d.html", number / 10);
        snprintf(to, sizeof to, "/articles/%d.html", number);
        follow_link(&cache, from, to);
    }
    for (size_t i = 0; i < cache.slot_count; i++)
        links += cache.slots[i].links_out;
    printf("ok: %zu pages, %u links, %zu slots\n", cache.pages, links, cache.slot_count);
    free(cache.slots);
    return links == PAGES - 1 ? 0 : 1;
}
