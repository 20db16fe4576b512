//! A guest small enough to be read: a kernel Image that drives the virtio console and the start
//! disk.
//!
//! Without a command it is a shell of sorts: it prompts with `>`, echoes what is typed, computes for
//! about 9,000 steps a byte (92 million for `b`), and stops at `q` with exit status 7, at Ctrl-D
//! with 0. The first letter of a command says what to do: a digit is the exit status, `i` idles for
//! ever, `r` fails or not, as the jitter of two timer interrupts has it.

/// The kernel Image.
pub(crate) fn image() -> Vec<u8> {
    WORDS.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[rustfmt::skip]
const WORDS: &[u32] = &[
    // start: Linux Image header: jump, then fields
    0x0400006f, // jal zero,boot
    0x00000013,
    0x00200000,
    0x00000000,
    0x00020000,
    0x00000000,
    0x00000000,
    0x00000000,
    0x00000002,
    0x00000000,
    0x00000000,
    0x00000000,
    0x00000000,
    0x00000000,
    0x05435352,
    0x00000000,
    // boot:
    0x10002437, // lui s0,0x10002
    0x100044b7, // lui s1,0x10004
    0x00080a37, // lui s4,0x80
    0x210a0a1b, // addiw s4,s4,528
    0x00ca1a13, // slli s4,s4,0xc
    0x00003ab7, // lui s5,0x3
    0x014a8ab3, // add s5,s5,s4
    0x0c201b37, // lui s6,0xc201
    0x0c002337, // lui t1,0xc002
    0x01400293, // addi t0,zero,20
    0x08532023, // sw t0,128(t1)
    0x0c000337, // lui t1,0xc000
    0x00100293, // addi t0,zero,1
    0x00532423, // sw t0,8(t1)
    0x00532823, // sw t0,16(t1)
    0x000b2023, // sw zero,0(s6)
    0x22000293, // addi t0,zero,544
    0x10429073, // csrrw zero,sie,t0
    0x00018bb7, // lui s7,0x18
    0x6a0b8b93, // addi s7,s7,1696
    0xc01022f3, // csrrs t0,time,zero
    0x017282b3, // add t0,t0,s7
    0x14d29073, // csrrw zero,stimecmp,t0
    0x00040513, // addi a0,s0,0
    0x248000ef, // jal ra,begin
    0x000a0613, // addi a2,s4,0
    0x00000593, // addi a1,zero,0
    0x260000ef, // jal ra,queue
    0x00001637, // lui a2,0x1
    0x01460633, // add a2,a2,s4
    0x00100593, // addi a1,zero,1
    0x250000ef, // jal ra,queue
    0x00f00293, // addi t0,zero,15
    0x06552823, // sw t0,112(a0)
    0x015a3023, // sd s5,0(s4)
    0x04000293, // addi t0,zero,64
    0x005a2423, // sw t0,8(s4)
    0x00200293, // addi t0,zero,2
    0x005a1623, // sh t0,12(s4)
    0x1f8000ef, // jal ra,receive
    0x00001337, // lui t1,0x1
    0x01430333, // add t1,t1,s4
    0x100a8293, // addi t0,s5,256
    0x00533023, // sd t0,0(t1)
    0x00100293, // addi t0,zero,1
    0x00532423, // sw t0,8(t1)
    0x00048513, // addi a0,s1,0
    0x1ec000ef, // jal ra,begin
    0x00002637, // lui a2,0x2
    0x01460633, // add a2,a2,s4
    0x00000593, // addi a1,zero,0
    0x200000ef, // jal ra,queue
    0x00f00293, // addi t0,zero,15
    0x06552823, // sw t0,112(a0)
    0x000015b7, // lui a1,0x1
    0x0015d593, // srli a1,a1,0x1
    0x00000613, // addi a2,zero,0
    0x220000ef, // jal ra,disk
    0x410a8393, // addi t2,s5,1040
    // record:
    0x0003a283, // lw t0,0(t2)
    0x06028263, // beq t0,zero,shell
    0x00100313, // addi t1,zero,1
    0x00628c63, // beq t0,t1,command
    0x0083b283, // ld t0,8(t2)
    0x01728293, // addi t0,t0,23
    0xff82f293, // andi t0,t0,-8
    0x005383b3, // add t2,t2,t0
    0xfe1ff06f, // jal zero,record
    // command:
    0x0103c583, // lbu a1,16(t2)
    0x06900293, // addi t0,zero,105
    0x02558a63, // beq a1,t0,idle
    0x07200293, // addi t0,zero,114
    0x00558663, // beq a1,t0,racy
    0xfd058593, // addi a1,a1,-48
    0x0e80006f, // jal zero,exit
    // racy:
    0x124000ef, // jal ra,pause
    0xc01025f3, // csrrs a1,time,zero
    0x0015f593, // andi a1,a1,1
    0x118000ef, // jal ra,pause
    0xc01022f3, // csrrs t0,time,zero
    0x0012d293, // srli t0,t0,0x1
    0x0055f5b3, // and a1,a1,t0
    0x0c80006f, // jal zero,exit
    // idle:
    0x104000ef, // jal ra,pause
    0xffdff06f, // jal zero,idle
    // shell:
    0x03e00513, // addi a0,zero,62
    0x118000ef, // jal ra,print
    // wait:
    0x0f4000ef, // jal ra,pause
    0x004b2283, // lw t0,4(s6)
    0x06042303, // lw t1,96(s0)
    0x06642223, // sw t1,100(s0)
    0x005b2223, // sw t0,4(s6)
    0x402a5283, // lhu t0,1026(s4)
    0x202a5303, // lhu t1,514(s4)
    0xfe6292e3, // bne t0,t1,wait
    0xfff28293, // addi t0,t0,-1
    0x0072f293, // andi t0,t0,7
    0x00329293, // slli t0,t0,0x3
    0x014282b3, // add t0,t0,s4
    0x4082ac03, // lw s8,1032(t0)
    0x000a8c93, // addi s9,s5,0
    // next:
    0x060c0a63, // beq s8,zero,again
    0x000ccd03, // lbu s10,0(s9)
    0x000d0513, // addi a0,s10,0
    0x0d0000ef, // jal ra,print
    0x06200293, // addi t0,zero,98
    0x3e800393, // addi t2,zero,1000
    0x005d1463, // bne s10,t0,work
    0x008003b7, // lui t2,0x800
    // work:
    0x700abe03, // ld t3,1792(s5)
    // round:
    0x01ae0e33, // add t3,t3,s10
    0x00de1e93, // slli t4,t3,0xd
    0x01de4e33, // xor t3,t3,t4
    0x007e5e93, // srli t4,t3,0x7
    0x01de4e33, // xor t3,t3,t4
    0x3f8e7f13, // andi t5,t3,1016
    0x015f0f33, // add t5,t5,s5
    0x7fcf3c23, // sd t3,2040(t5)
    0xfff38393, // addi t2,t2,-1
    0xfc039ee3, // bne t2,zero,round
    0x71cab023, // sd t3,1792(s5)
    0x07100293, // addi t0,zero,113
    0x00700593, // addi a1,zero,7
    0x025d0263, // beq s10,t0,exit
    0x00400293, // addi t0,zero,4
    0x00000593, // addi a1,zero,0
    0x005d0c63, // beq s10,t0,exit
    0xfffc0c13, // addi s8,s8,-1
    0x001c8c93, // addi s9,s9,1
    0xf91ff06f, // jal zero,next
    // again:
    0x08c000ef, // jal ra,receive
    0xf49ff06f, // jal zero,shell
    // exit:
    0x584552b7, // lui t0,0x58455
    0x05228293, // addi t0,t0,82
    0x405aa023, // sw t0,1024(s5)
    0x313052b7, // lui t0,0x31305
    0x44928293, // addi t0,t0,1097
    0x405aa223, // sw t0,1028(s5)
    0x40baa423, // sw a1,1032(s5)
    0x400aa623, // sw zero,1036(s5)
    0x00000593, // addi a1,zero,0
    0x00100613, // addi a2,zero,1
    0x0cc000ef, // jal ra,disk
    0x001002b7, // lui t0,0x100
    0x00005337, // lui t1,0x5
    0x55530313, // addi t1,t1,1365
    0x0062a023, // sw t1,0(t0)
    // stop:
    0x0000006f, // jal zero,stop
    // pause: waits for an interrupt; sets the timer anew
    0x10500073, // wfi
    0x144022f3, // csrrs t0,sip,zero
    0x0202f293, // andi t0,t0,32
    0x00028863, // beq t0,zero,paused
    0x14d022f3, // csrrs t0,stimecmp,zero
    0x017282b3, // add t0,t0,s7
    0x14d29073, // csrrw zero,stimecmp,t0
    // paused:
    0x00008067, // jalr zero,0(ra)
    // print: prints a0
    0x10aa8023, // sb a0,256(s5)
    0x00001337, // lui t1,0x1
    0x01430333, // add t1,t1,s4
    0x20235283, // lhu t0,514(t1)
    0x00128293, // addi t0,t0,1
    0x20531123, // sh t0,514(t1)
    0x00100293, // addi t0,zero,1
    0x04542823, // sw t0,80(s0)
    0x00008067, // jalr zero,0(ra)
    // receive: hands the receive buffer over
    0x202a5283, // lhu t0,514(s4)
    0x00128293, // addi t0,t0,1
    0x205a1123, // sh t0,514(s4)
    0x04042823, // sw zero,80(s0)
    0x00008067, // jalr zero,0(ra)
    // begin: negotiates with the device at a0
    0x06052823, // sw zero,112(a0)
    0x00300293, // addi t0,zero,3
    0x06552823, // sw t0,112(a0)
    0x00100293, // addi t0,zero,1
    0x02552223, // sw t0,36(a0)
    0x02552023, // sw t0,32(a0)
    0x00b00293, // addi t0,zero,11
    0x06552823, // sw t0,112(a0)
    0x00008067, // jalr zero,0(ra)
    // queue: queue a1 of the device at a0 with its rings at a2
    0x02b52823, // sw a1,48(a0)
    0x00800293, // addi t0,zero,8
    0x02552c23, // sw t0,56(a0)
    0x08c52023, // sw a2,128(a0)
    0x08052223, // sw zero,132(a0)
    0x20060293, // addi t0,a2,512
    0x08552823, // sw t0,144(a0)
    0x08052a23, // sw zero,148(a0)
    0x20028293, // addi t0,t0,512
    0x0a552023, // sw t0,160(a0)
    0x0a052223, // sw zero,164(a0)
    0x00100293, // addi t0,zero,1
    0x04552223, // sw t0,68(a0)
    0x00008067, // jalr zero,0(ra)
    // disk: reads (a2 = 0) or writes (1) sector a1
    0x00008d93, // addi s11,ra,0
    0x20caa023, // sw a2,512(s5)
    0x200aa223, // sw zero,516(s5)
    0x20bab423, // sd a1,520(s5)
    0x00002337, // lui t1,0x2
    0x01430333, // add t1,t1,s4
    0x200a8293, // addi t0,s5,512
    0x00533023, // sd t0,0(t1)
    0x01000293, // addi t0,zero,16
    0x00532423, // sw t0,8(t1)
    0x000102b7, // lui t0,0x10
    0x00128293, // addi t0,t0,1
    0x00532623, // sw t0,12(t1)
    0x400a8293, // addi t0,s5,1024
    0x00533823, // sd t0,16(t1)
    0x20000293, // addi t0,zero,512
    0x00532c23, // sw t0,24(t1)
    0x000202b7, // lui t0,0x20
    0x00328293, // addi t0,t0,3
    0x00161393, // slli t2,a2,0x1
    0x407282b3, // sub t0,t0,t2
    0x00532e23, // sw t0,28(t1)
    0x600a8293, // addi t0,s5,1536
    0x02533023, // sd t0,32(t1)
    0x00100293, // addi t0,zero,1
    0x02532423, // sw t0,40(t1)
    0x00200293, // addi t0,zero,2
    0x02532623, // sw t0,44(t1)
    0x20235283, // lhu t0,514(t1)
    0x00128293, // addi t0,t0,1
    0x20531123, // sh t0,514(t1)
    0x0404a823, // sw zero,80(s1)
    // done:
    0x00002337, // lui t1,0x2
    0x01430333, // add t1,t1,s4
    0x40235283, // lhu t0,1026(t1)
    0x20235303, // lhu t1,514(t1)
    0x00629e63, // bne t0,t1,block
    0x004b2283, // lw t0,4(s6)
    0x0604a303, // lw t1,96(s1)
    0x0664a223, // sw t1,100(s1)
    0x005b2223, // sw t0,4(s6)
    0x000d8093, // addi ra,s11,0
    0x00008067, // jalr zero,0(ra)
    // block:
    0xea1ff0ef, // jal ra,pause
    0xfd1ff06f, // jal zero,done
];
