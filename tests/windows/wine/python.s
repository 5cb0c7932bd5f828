	.globl	start
start:	subq	$40, %rsp
	movl	$1, %ecx
	call	_configure_wide_argv
	call	__p___argc
	movl	(%rax), %ebx
	call	__p___wargv
	movq	(%rax), %rdx
	movl	%ebx, %ecx
	call	Py_Main
	movl	%eax, %ecx
	call	exit
