/*
 * Double precision: a small solar system, moved in steps of a hundredth of a day.
 *
 * Usage: nbody [STEPS]   (default 20000; about 1000 instructions each)
 *
 * Prints the bits of the total energy, which are the same on every machine that rounds correctly.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODIES = 5 };

static const double STEP = 0.01;

struct body {
    double position[3], velocity[3], mass;
};

/* A heavy sun and four planets on circular orbits in planes of their own, in units where gravity's constant is 1. */
static void set_up(struct body *bodies)
{
    memset(bodies, 0, BODIES * sizeof *bodies);
    bodies[0].mass = 40.0;
    for (int i = 1; i < BODIES; i++) {
        double radius = 4.0 * i, speed = sqrt(bodies[0].mass / radius);
        bodies[i].mass = 0.01 / i;
        bodies[i].position[0] = radius;
        bodies[i].velocity[1] = speed * 0.96;
        bodies[i].velocity[2] = speed * 0.28;
    }
}

static void step(struct body *bodies)
{
    for (int i = 0; i < BODIES; i++) {
        for (int j = i + 1; j < BODIES; j++) {
            double apart[3], square = 0.0, pull;
            for (int axis = 0; axis < 3; axis++) {
                apart[axis] = bodies[i].position[axis] - bodies[j].position[axis];
                square += apart[axis] * apart[axis];
            }
            pull = STEP / (square * sqrt(square));
            for (int axis = 0; axis < 3; axis++) {
                bodies[i].velocity[axis] -= apart[axis] * bodies[j].mass * pull;
                bodies[j].velocity[axis] += apart[axis] * bodies[i].mass * pull;
            }
        }
    }
    for (int i = 0; i < BODIES; i++) {
        for (int axis = 0; axis < 3; axis++)
            bodies[i].position[axis] += STEP * bodies[i].velocity[axis];
    }
}

static double energy(const struct body *bodies)
{
    double total = 0.0;

    for (int i = 0; i < BODIES; i++) {
        double speed_square = 0.0;
        for (int axis = 0; axis < 3; axis++)
            speed_square += bodies[i].velocity[axis] * bodies[i].velocity[axis];
        total += 0.5 * bodies[i].mass * speed_square;
        for (int j = i + 1; j < BODIES; j++) {
            double square = 0.0;
            for (int axis = 0; axis < 3; axis++) {
                double apart = bodies[i].position[axis] - bodies[j].position[axis];
                square += apart * apart;
            }
            total -= bodies[i].mass * bodies[j].mass / sqrt(square);
        }
    }
    return total;
}

int main(int argc, char **argv)
{
    long steps = argc > 1 ? atol(argv[1]) : 20000;
    struct body bodies[BODIES];
    double total;
    uint64_t bits;

    set_up(bodies);
    for (long i = 0; i < steps; i++)
        step(bodies);
    total = energy(bodies);
    memcpy(&bits, &total, sizeof bits);
    printf("nbody %ld %.12f %016llx\n", steps, total, (unsigned long long)bits);
    return 0;
}
