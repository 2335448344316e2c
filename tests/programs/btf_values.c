/* One value type with every shape that a map's values can have; the members cover the rules of the BTF value dumper. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef char name_t[8];

enum plain { ZERO, ONE, FOUR = 4, MINUS = -2 };
enum __attribute__((packed)) byte { BYTE_A, BYTE_B = 200 };
enum __attribute__((packed)) negative_byte { NEGATIVE_A = -5, NEGATIVE_B = 7 };

struct inner {
	u8 small;
	const volatile int number;
};

struct everything {
	signed char s8;
	u8 u8;
	short s16;
	u16 u16;
	int s32;
	u32 u32;
	long long s64;
	u64 u64;
	_Bool yes;
	enum plain plain;
	enum byte byte;
	enum negative_byte negative;
	void *pointer;
	char text[16];
	const char constant_text[4];
	name_t typedef_text;
	char one;
	u32 numbers[3];
	u16 grid[2][3];
	struct inner inner;
	struct inner inners[2];
	struct {
		int in_anonymous;
		union {
			u32 word;
			u8 bytes[4];
		};
	};
	u32 bits3 : 3;
	int bits5 : 5;
	_Bool bit_bool : 1;
	enum plain bit_enum : 4;
	u64 bits40 : 40;
	__int128 wide __attribute__((aligned(16)));
	u32 many[100];
	struct {
	} empty;
	u32 flexible[0];
};

int use(struct everything *value)
{
	return !value;
}
