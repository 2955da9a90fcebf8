/* A ring of ranks that exchange fields and sum over all; arguments: rounds. Rank 0 keeps the log. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  int rank, size, rounds = atoi(argv[1]);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  static double field[20000], next[20000];
  for (int i = 0; i < 20000; i++) field[i] = (rank * 7919 + i) % 1009;
  FILE *log = rank == 0 ? fopen("log", "w") : NULL;
  for (int round = 0; round < rounds; round++) {
    int left = (rank + size - 1) % size, right = (rank + 1) % size;
    MPI_Sendrecv(field, 20000, MPI_DOUBLE, right, 1, next, 20000, MPI_DOUBLE, left, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (int i = 0; i < 20000; i++) field[i] = 0.5 * field[i] + 0.5 * next[(i * 7) % 20000] + 1.0 / (1 + i + round);
    double sum = 0, all;
    for (int i = 0; i < 20000; i++) sum += field[i];
    MPI_Allreduce(&sum, &all, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0) fprintf(log, "%d %.17g\n", round, all), fflush(log);
  }
  MPI_Barrier(MPI_COMM_WORLD);
  MPI_Finalize();
  return 0;
}
