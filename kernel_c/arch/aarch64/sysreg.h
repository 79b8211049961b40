/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AARCH64_SYSREG_H
#define AARCH64_SYSREG_H

#include "lib/bits.h"

/* System registers and barriers, named as in Arm DDI 0487. */

#define READ_SYSREG(name)                                  \
    __extension__({                                        \
        uint64_t value_;                                   \
        __asm__ volatile("mrs %0, " #name : "=r"(value_)); \
        value_;                                            \
    })

#define WRITE_SYSREG(name, value)                                         \
    __extension__({                                                       \
        uint64_t value_ = (value);                                        \
        __asm__ volatile("msr " #name ", %0" : : "r"(value_) : "memory"); \
    })

static inline void isb(void)
{
    __asm__ volatile("isb" : : : "memory");
}

/* Every store before it has reached the point where walks of all CPUs see it. */
static inline void dsb_ishst(void)
{
    __asm__ volatile("dsb ishst" : : : "memory");
}

/* Also: every TLB, cache and branch predictor maintenance before it is complete on all CPUs. */
static inline void dsb_ish(void)
{
    __asm__ volatile("dsb ish" : : : "memory");
}

/* MAIR_EL1 (D24.2.120): our attribute indices. */
enum {
    ATTR_NORMAL, /* write-back */
    ATTR_DEVICE, /* nGnRE */
    ATTR_NORMAL_WT,
    ATTR_NORMAL_NC,
    ATTR_DEVICE_NGNRNE,
    ATTR_DEVICE_GRE,
};
#define MAIR_FIELD(value, index) (UINT64_C(value) << (8 * (index)))
#define MAIR_VALUE                                                         \
    (MAIR_FIELD(0xFF, ATTR_NORMAL) | MAIR_FIELD(0x04, ATTR_DEVICE) |       \
     MAIR_FIELD(0xBB, ATTR_NORMAL_WT) | MAIR_FIELD(0x44, ATTR_NORMAL_NC) | \
     MAIR_FIELD(0x00, ATTR_DEVICE_NGNRNE) | MAIR_FIELD(0x0C, ATTR_DEVICE_GRE))

/* TCR_EL1 (D24.2.175) */
#define TCR_T0SZ MASK(5, 0)
#define TCR_IRGN0 MASK(9, 8)
#define TCR_ORGN0 MASK(11, 10)
#define TCR_SH0 MASK(13, 12)
#define TCR_TG0 MASK(15, 14)
#define TCR_T1SZ MASK(21, 16)
#define TCR_IRGN1 MASK(25, 24)
#define TCR_ORGN1 MASK(27, 26)
#define TCR_SH1 MASK(29, 28)
#define TCR_TG1 MASK(31, 30)
#define TCR_IPS MASK(34, 32)
#define TCR_AS BIT(36)
#define TCR_RGN_WBWA 1
#define TCR_SH_INNER 3
#define TCR_TG0_4K 0
#define TCR_TG1_4K 2

/* ID_AA64MMFR0_EL1 */
#define MMFR0_PARANGE MASK(3, 0)
#define MMFR0_ASIDBITS MASK(7, 4)
#define MMFR0_ASIDBITS_16 2
#define PARANGE_48 5

/* SCTLR_EL1 (D24.2.157) */
#define SCTLR_M BIT(0)
#define SCTLR_C BIT(2)
#define SCTLR_SA BIT(3)
#define SCTLR_SA0 BIT(4)
#define SCTLR_I BIT(12)
#define SCTLR_DZE BIT(14)
#define SCTLR_UCT BIT(15)
#define SCTLR_NTWI BIT(16)
#define SCTLR_NTWE BIT(18)
#define SCTLR_WXN BIT(19)
#define SCTLR_UCI BIT(26)
/* EOS, TSCXT, EIS, SPAN, nTLSMD, LSMAOE: RES1 where the feature is absent */
#define SCTLR_RES1 (BIT(11) | BIT(20) | BIT(22) | BIT(23) | BIT(28) | BIT(29))
#define SCTLR_VALUE                                                                            \
    (SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_I | SCTLR_SA | SCTLR_SA0 | SCTLR_WXN | SCTLR_DZE | \
     SCTLR_UCT | SCTLR_UCI | SCTLR_NTWI | SCTLR_NTWE)

/* TTBRn_EL1 */
#define TTBR_ASID MASK(63, 48)

/* CTR_EL0 (D24.2.35) */
#define CTR_IMINLINE MASK(3, 0) /* log2 of the line in words */
#define CTR_L1IP MASK(15, 14)
#define CTR_L1IP_PIPT 3
#define CTR_DMINLINE MASK(19, 16)
#define CTR_IDC BIT(28) /* no clean to the point of unification is needed */
#define CTR_DIC BIT(29) /* no instruction cache invalidation is needed */

/* DCZID_EL0 */
#define DCZID_BS MASK(3, 0) /* log2 of the block in words */
#define DCZID_DZP BIT(4)    /* DC ZVA is prohibited */

#endif
