/* A program with a bug for debuggers to find: a sum that is wrong since an index runs too far. */

#include <stdio.h>

static struct {
    int amounts[4];
    int total;
} book = {{10, 20, 30, 40}, 0};

static void post(int slot, int amount)
{
    book.amounts[slot] += amount;
    book.total += amount;
}

static int post_all(void)
{
    int slot;

    for (slot = 0; slot <= 4; slot++)
        post(slot, slot + 1);
    return book.total;
}

int main(void)
{
    int total = post_all();

    printf("total %d\n", total);
    return total == 10 ? 0 : 4;
}
