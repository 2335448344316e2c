/* What core_local.c is resolved against: the same names, laid out otherwise. */
struct inner { long before; short b[8]; int a; };
struct moved {
	char pad[100];
	union { long other; int hidden; };
	struct inner list[3];
	unsigned int wide;
	struct moved *next;
	long sign;
	int first;
	unsigned short gap : 6, bits : 7;
	long long signed_bits : 40;
	char tail[];
};
struct shrunk { int all[4]; };
struct twice { int field; };
struct twice___again { long before; int field; };
enum colors { GREEN = 70, BLUE = -4, YELLOW = 9, ORANGE___v3 = 11 };
struct split { unsigned first : 20, second : 20; } __attribute__((packed));
enum wide { WIDE = 0x123456789aLL };
typedef int number_t;
typedef int (*callback_t)(struct moved *, int);
struct part { struct inner *inner; int before; int first; };

struct moved moved;
struct shrunk shrunk;
struct twice twice;
struct twice___again again;
enum colors colors;
enum wide wide;
struct split split;
number_t number;
callback_t callback;
struct part part;
