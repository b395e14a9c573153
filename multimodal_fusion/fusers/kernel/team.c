/* See team.h. The caller never waits for a helper that has not woken up: rows are taken from what is
 * left, each time an even share of it, until none are. So who is late does less, all end together,
 * and where there are no helpers the caller makes it all.
 */
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define FEWEST 16 /* rows that a thread takes: each taking makes two hidden rows twice */

typedef struct {
    Band band;
    const void *net;
    const Images *im;
    int threads, taken; /* rows so far */
} Job;

struct Team {
    pthread_mutex_t lock;
    pthread_cond_t news;
    Job *job;    /* in hand, or NULL; it lies on the stack of the caller */
    int wanted;  /* helpers that may still join it */
    int working; /* helpers that have */
    int closed, members;
    pid_t process; /* a child that it forked has no helpers, and perhaps a lock that nobody frees */
};

/* Rows *top .. *bottom - 1 are the caller's to make; 0 when none are left. An even number of rows, but
 * at the end. */
static int take_rows(Job *job, int *top, int *bottom) {
    int height = job->im->height;
    *top = __atomic_load_n(&job->taken, __ATOMIC_RELAXED);
    do {
        int left = height - *top, share = left / job->threads & ~1;
        if (left <= 0) return 0;
        *bottom = share < FEWEST ? *top + FEWEST : *top + share;
        if (*bottom > height || job->threads == 1) *bottom = height;
    } while (!__atomic_compare_exchange_n(&job->taken, top, *bottom, 0, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return 1;
}

static void work(Job *job) {
    for (int top, bottom; take_rows(job, &top, &bottom);) job->band(job->net, job->im, top, bottom);
}

/* Unlocks; the last to leave turns off the light. */
static void leave(Team *team) {
    int last = --team->members == 0;
    pthread_mutex_unlock(&team->lock);
    if (last) free(team);
}

static void *help(void *argument) {
    Team *team = argument;
    pthread_mutex_lock(&team->lock);
    while (!team->closed) {
        if (!team->job || !team->wanted) {
            pthread_cond_wait(&team->news, &team->lock);
            continue;
        }
        Job *job = team->job;
        team->wanted--;
        __atomic_fetch_add(&team->working, 1, __ATOMIC_RELAXED); /* others leave without the lock */
        pthread_mutex_unlock(&team->lock);
        work(job);
        __atomic_fetch_sub(&team->working, 1, __ATOMIC_RELEASE);
        pthread_mutex_lock(&team->lock);
    }
    leave(team);
    return NULL;
}

Team *open_team(int helpers) {
    Team *team = calloc(1, sizeof *team);
    if (!team) return NULL;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->news, NULL);
    team->process = getpid();
    pthread_mutex_lock(&team->lock);
    for (team->members = 1; helpers > 0; helpers--) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, help, team)) break;
        pthread_detach(thread);
        team->members++;
    }
    pthread_mutex_unlock(&team->lock);
    return team;
}

void close_team(Team *team) {
    if (team->process != getpid()) return;
    pthread_mutex_lock(&team->lock);
    team->closed = 1;
    pthread_cond_broadcast(&team->news);
    leave(team);
}

void make_rows(Team *team, int threads, Band band, const void *net, const Images *im) {
    Job job = {band, net, im, threads, 0};
    int ours = 0;
    if (team && threads > 1 && team->process == getpid()) {
        pthread_mutex_lock(&team->lock);
        ours = !team->job;
        if (ours) team->job = &job, team->wanted = threads - 1;
        pthread_mutex_unlock(&team->lock);
    }
    if (!ours) job.threads = 1;
    for (int i = 1; i < job.threads; i++) pthread_cond_signal(&team->news);
    work(&job);
    if (!ours) return;
    pthread_mutex_lock(&team->lock);
    team->wanted = 0; /* too late to join */
    pthread_mutex_unlock(&team->lock);
    /* Not asleep: what others still work on is little, and waking up takes longer. */
    while (__atomic_load_n(&team->working, __ATOMIC_ACQUIRE)) sched_yield();
    pthread_mutex_lock(&team->lock);
    team->job = NULL;
    pthread_mutex_unlock(&team->lock);
}
