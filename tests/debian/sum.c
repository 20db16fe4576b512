// A sum that reads an element too many, for the tests to find.
#include <stdio.h>

static int sum(const int *numbers, int count) {
    int total = 0;
    for (int i = 0; i <= count; i++) {
        total += numbers[i];
    }
    return total;
}

int main(void) {
    int numbers[] = {1, 2, 3, 4, 1000};
    printf("the sum is %d\n", sum(numbers, 4));
    return 0;
}
