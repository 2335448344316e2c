/* Types and enumerators of the same name, told apart when PART 1, 2 and 3 are linked. */
#define SEC(name) __attribute__((section(name), used))

#if PART == 1
struct point { int x; };
typedef struct { int i; } alias;
enum choice { FIRST, SECOND };
struct point a1;
alias a2;
enum choice a3;
struct { enum { SHARED } e; } a4;
struct point *a5 SEC(".data.more"), a6[2] SEC(".data.more");
#elif PART == 2
struct point { long y; };
typedef struct { char i; } alias;
enum choice { FIRST = 4 };
struct point b1;
alias b2;
enum choice b3;
struct { enum { SHARED } e; } b4, b5;
struct point *b6 SEC(".data.more"), b7 SEC(".data.other");
#else
typedef int SHARED;
typedef struct point { int z; } point;
union point_union { int i; };
struct only_declared;
SHARED c1;
point c2;
struct point c3;
union point_union c4;
struct only_declared *c5;
#endif
SEC("socket") int NAME(void *ctx) { return 0; }
