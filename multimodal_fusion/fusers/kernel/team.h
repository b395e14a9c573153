/* Threads that make an image together: Python declares what is exported in library.py. */
#ifndef MULTIMODAL_FUSION_TEAM_H
#define MULTIMODAL_FUSION_TEAM_H

#include "rows.h"

/* Makes rows top .. bottom - 1 of an image by a network. */
typedef void (*Band)(const void *net, const Images *im, int top, int bottom);

typedef struct Team Team;

/* Up to so many threads that sleep until there is work, or NULL; fewer where no more can be had. */
Team *open_team(int helpers);

/* Send them home. Not while one of them works. */
void close_team(Team *team);

/* The whole image by `threads` threads: the caller and, unless others have it, its team (or NULL). */
void make_rows(Team *team, int threads, Band band, const void *net, const Images *im);

#endif
