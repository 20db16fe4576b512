/*
 * An integer mix like that of small control programs: a linked list that is searched, reversed and sorted, a matrix
 * product of 16-bit numbers, a state machine that reads numbers out of a text, and a CRC over every result. It is a
 * program of our own; its figures compare with nothing but themselves.
 *
 * Usage: intmix [ITERATIONS]   (default 100; about 0.8 million instructions each)
 *
 * Prints a checksum that is the same on every correct machine.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ITEMS = 200,
    SIDE = 24,
};

struct item {
    struct item *next;
    int16_t key, value;
};

static uint16_t crc16(uint16_t crc, uint32_t data, int bits)
{
    for (int i = 0; i < bits; i++) {
        uint16_t feedback = (uint16_t)((crc ^ data) & 1);
        crc >>= 1;
        data >>= 1;
        if (feedback)
            crc ^= 0xa001;
    }
    return crc;
}

/* Turns the list round. */
static struct item *reverse(struct item *list)
{
    struct item *reversed = NULL;

    while (list != NULL) {
        struct item *next = list->next;
        list->next = reversed;
        reversed = list;
        list = next;
    }
    return reversed;
}

/* Merges two sorted lists. */
static struct item *merge(struct item *a, struct item *b)
{
    struct item head, *tail = &head;

    while (a != NULL && b != NULL) {
        struct item **smaller = a->key <= b->key ? &a : &b;
        tail->next = *smaller;
        tail = *smaller;
        *smaller = (*smaller)->next;
    }
    tail->next = a != NULL ? a : b;
    return head.next;
}

/* Sorts the list by its keys. */
static struct item *sort(struct item *list)
{
    struct item *slow = list, *fast, *half;

    if (list == NULL || list->next == NULL)
        return list;
    for (fast = list->next; fast != NULL && fast->next != NULL; fast = fast->next->next)
        slow = slow->next;
    half = slow->next;
    slow->next = NULL;
    return merge(sort(list), sort(half));
}

static uint16_t list_work(struct item *items, uint16_t seed)
{
    struct item *list = NULL;
    uint16_t crc = 0;

    for (int i = 0; i < ITEMS; i++) {
        seed = (uint16_t)(seed * 25173u + 13849u);
        items[i] = (struct item){ .next = list, .key = (int16_t)(seed >> 3), .value = (int16_t)i };
        list = &items[i];
    }
    for (int wanted = 0; wanted < ITEMS; wanted += 5) {
        const struct item *item = list;
        while (item != NULL && item->value != wanted)
            item = item->next;
        crc = crc16(crc, item == NULL ? 0 : (uint16_t)item->key, 16);
    }
    list = sort(reverse(list));
    for (const struct item *item = list; item != NULL; item = item->next)
        crc = crc16(crc, (uint16_t)item->value, 8);
    return crc;
}

static uint16_t matrix_work(uint16_t seed)
{
    static int16_t a[SIDE][SIDE], b[SIDE][SIDE];
    uint16_t crc = 0;

    for (int row = 0; row < SIDE; row++) {
        for (int column = 0; column < SIDE; column++) {
            seed = (uint16_t)(seed * 25173u + 13849u);
            a[row][column] = (int16_t)(seed & 0x3ff);
            b[row][column] = (int16_t)((seed >> 4) - 1000);
        }
    }
    for (int row = 0; row < SIDE; row++) {
        int32_t sum_of_row = 0;
        for (int column = 0; column < SIDE; column++) {
            int32_t sum = 0;
            for (int i = 0; i < SIDE; i++)
                sum += (int32_t)a[row][i] * b[i][column];
            sum_of_row ^= (sum >> 2) & 0xffff;
        }
        crc = crc16(crc, (uint32_t)sum_of_row, 16);
    }
    return crc;
}

enum state { START, INTEGER, FRACTION, EXPONENT, INVALID, STATES };

/* What kind of number the text up to the next comma is. Leaves *text behind the comma. */
static enum state next_number(const char **text)
{
    enum state state = START;

    for (; **text != 0; (*text)++) {
        char c = **text;
        if (c == ',') {
            (*text)++;
            break;
        }
        int digit = c >= '0' && c <= '9';
        switch (state) {
        case START:
            state = digit || c == '-' || c == '+' ? INTEGER : c == '.' ? FRACTION : INVALID;
            break;
        case INTEGER:
            state = digit ? INTEGER : c == '.' ? FRACTION : c == 'e' ? EXPONENT : INVALID;
            break;
        case FRACTION:
            state = digit ? FRACTION : c == 'e' ? EXPONENT : INVALID;
            break;
        case EXPONENT:
            state = digit || c == '-' ? EXPONENT : INVALID;
            break;
        default:
            break;
        }
    }
    return state;
}

static uint16_t text_work(uint16_t seed)
{
    static const char *const pieces[] = { "5012,", "-17.25,", "1e-7,", "abc,", "+.5e3,", "3.14159,", "12x4,", "-0," };
    static char text[1024];
    uint32_t counts[STATES] = { 0 };
    const char *at = text;
    size_t length = 0;
    uint16_t crc = 0;

    while (length < sizeof text - 16) {
        seed = (uint16_t)(seed * 25173u + 13849u);
        for (const char *piece = pieces[(seed >> 5) & 7]; *piece != 0; piece++)
            text[length++] = *piece;
    }
    text[length] = 0;
    while (*at != 0)
        counts[next_number(&at)]++;
    for (int state = 0; state < STATES; state++)
        crc = crc16(crc, counts[state], 16);
    return crc;
}

int main(int argc, char **argv)
{
    static struct item items[ITEMS];
    long iterations = argc > 1 ? atol(argv[1]) : 100;
    uint16_t crc = 0;

    for (long i = 0; i < iterations; i++) {
        for (int round = 0; round < 4; round++) {
            uint16_t seed = (uint16_t)(i * 4 + round + 1);
            crc = crc16(crc, list_work(items, seed), 16);
            crc = crc16(crc, matrix_work(seed), 16);
            crc = crc16(crc, text_work(seed), 16);
        }
    }
    printf("intmix %ld %04x\n", iterations, crc);
    return 0;
}
