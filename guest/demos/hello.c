/* The smallest program that shows that everything works: it says hello and what it was called with. */
#include <stdio.h>

int main(int argc, char **argv)
{
    printf("hello from the guest\n");
    for (int i = 1; i < argc; i++)
        printf("argument %d: %s\n", i, argv[i]);
    return 0;
}
